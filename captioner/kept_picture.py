"""The picture of a result, kept so that the result can be drawn on it."""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from captioner.data.images import open_picture
from captioner.decoding.outputs import Answer, Caption
from captioner.errors import CaptionerError

MAX_SIDE, JPEG_QUALITY = 480, 82  # of what is kept of a picture without a path


@dataclass(frozen=True)
class KeptPicture:
    """The picture of a result: its path or web address, or a small JPEG of it.

    It is read again when it is drawn on. None: one of several that were not given as paths; to keep
    those would fill the memory. Drawing loads the visualization, which captioning does without.
    """

    source: str | Path | bytes | None

    @classmethod
    def by_path(cls, source: object) -> "KeptPicture":
        """Keep the path or web address of a picture, and nothing of another."""
        return cls(source if isinstance(source, (str, Path)) else None)

    @classmethod
    def small(cls, opened: Image.Image) -> "KeptPicture":
        """Keep a small JPEG of an RGB picture, which is itself made small."""
        opened.thumbnail((MAX_SIDE, MAX_SIDE))
        with io.BytesIO() as content:
            opened.save(content, "JPEG", quality=JPEG_QUALITY)
            return cls(content.getvalue())

    def save(self, result: Caption | Answer, file: Path) -> None:
        """Write the attention maps to a file of the kind that its ending names."""
        from captioner.visualization import results

        results.save_result(result, self.open, file, name=self._name())

    def show(self, result: Caption | Answer) -> None:
        """Show the attention maps in a notebook, or else with the viewer of the system."""
        from captioner.visualization import results

        results.show_result(result, self.open())

    def to_html(self, result: Caption | Answer) -> str | None:
        """The picture and words to hover for their maps; None where it can't be read any more."""
        from captioner.visualization import results

        try:
            return results.result_html(result, self.open())
        except CaptionerError:
            return None

    def open(self) -> Image.Image:
        """The picture as RGB; raises CaptionerError where it was not kept or is gone."""
        if self.source is None:
            raise CaptionerError(
                "the picture of this result was not kept, since it was one of several that were "
                "not given as paths; give paths, or one picture at a time"
            )
        return open_picture(self.source)

    def _name(self) -> str:
        return str(self.source) if isinstance(self.source, (str, Path)) else "the picture"
