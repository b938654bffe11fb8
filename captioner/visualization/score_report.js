"use strict";

const list = document.getElementById("pictures");
const order = document.getElementById("order"), turn = document.getElementById("turn");
let worstFirst = true;

function sort() {
  const value = (article) => article.dataset.values.split(" ")[order.selectedIndex];
  const sorted = [...list.children].sort((a, b) => value(a) - value(b));
  list.append(...(worstFirst ? sorted : sorted.reverse()));
}

document.querySelector(".sort").hidden = false; // without scripts there is nothing to choose
order.addEventListener("change", sort);
turn.addEventListener("click", () => {
  worstFirst = !worstFirst;
  turn.textContent = worstFirst ? "Worst first" : "Best first";
  sort();
});
