"""The nouns of captions, with colours and numbers: which words say which thing.

Every table maps a thing to the words that name it, so that "puppy" and "poodle" come to "dog".
Plurals are made by rule; irregular ones stand in IRREGULAR.
"""

NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}

COLOURS = {
    "black": "black",
    "white": "white",
    "red": "red maroon",
    "blue": "blue navy turquoise teal",
    "green": "green",
    "yellow": "yellow",
    "orange": "orange",
    "pink": "pink",
    "purple": "purple violet lavender",
    "brown": "brown chestnut chocolate",
    "gray": "gray grey",
    "tan": "tan beige khaki",
    "gold": "gold golden",
    "silver": "silver",
}

# Colours that one person says and another does not: neither proves the other absent or present.
LIKE_COLOURS = (
    {"brown", "tan", "gold", "orange", "red"},
    {"tan", "white", "gold", "yellow"},
    {"gray", "silver", "white", "black", "blue"},
    {"pink", "purple", "red"},
    {"blue", "purple", "green"},
    {"yellow", "gold", "orange"},
)

PEOPLE = {
    "man": "man,guy,gentleman,male,father,dad,husband,groom,businessman,grandfather,fisherman,"
    "policeman,fireman,cowboy",
    "woman": "woman,lady,female,mother,mom,wife,bride,grandmother",
    "boy": "boy",
    "girl": "girl",
    "baby": "baby,infant,newborn",
    "child": "child,kid,toddler,youngster",
    "person": "person,player,rider,surfer,skier,snowboarder,skateboarder,biker,cyclist,bicyclist,"
    "motorcyclist,climber,hiker,runner,swimmer,batter,catcher,pitcher,umpire,goalie,athlete,"
    "dancer,performer,musician,singer,guitarist,teenager,teen,adult,couple,chef,officer,worker,"
    "someone,somebody,human,friend,driver,racer,wrestler,boxer,diver,kayaker,gymnast,cheerleader,"
    "jogger,skater,soldier,student,teacher,tourist,spectator,pedestrian,passenger,kayaker,rower,"
    "family,crowd,team,youth,brother,sister,son,daughter,parent,twin,toddlers,people,couples,"
    "individual,member,fan,onlooker,audience,group,band,goalkeeper,quarterback,referee,golfer,"
    "boarder,wakeboarder,parasailer,photographer,artist,vendor,customer,shopper,bystander,"
    "firefighter,policemen,clown,santa,cook,customer,pilot,farmer,teammate,opponent,rollerblader",
}

KINDS_OF_PEOPLE = {  # each with what it is a kind of
    "man": "person",
    "woman": "person",
    "child": "person",
    "boy": "child",
    "girl": "child",
    "baby": "child",
}

ANIMALS = {
    "dog": "dog,puppy,pup,doggy,doggie,poodle,greyhound,labrador,lab,terrier,collie,border collie,"
    "german shepherd,shepherd,retriever,golden retriever,bulldog,pit bull,pitbull,hound,husky,"
    "beagle,dalmatian,chihuahua,dachshund,corgi,boxer dog,rottweiler,doberman,spaniel,pug,canine,"
    "mutt,schnauzer,black lab,sheepdog,st bernard,boston terrier,whippet,mastiff,yorkie,"
    "great dane,bull dog",
    "cat": "cat,kitten,kitty,tabby,feline",
    "horse": "horse,pony,foal,stallion,mare,colt,bronco",
    "cow": "cow,cattle,calf,bull,steer,ox,oxen,longhorn",
    "sheep": "sheep,lamb,ram,ewe",
    "goat": "goat",
    "bird": "bird,duck,goose,seagull,gull,pigeon,swan,parrot,owl,eagle,hawk,chicken hen,hen,"
    "rooster,pelican,penguin,ostrich,peacock,flamingo,heron,crane bird,parakeet,hummingbird,"
    "woodpecker,sparrow,crow,falcon,turkey bird,dove",
    "elephant": "elephant",
    "zebra": "zebra",
    "giraffe": "giraffe",
    "bear": "bear,polar bear,brown bear,grizzly,grizzly bear,panda,panda bear,black bear",
    "monkey": "monkey,ape,gorilla,chimpanzee,baboon,orangutan",
    "fish": "fish,shark,goldfish",
    "rabbit": "rabbit,bunny",
    "camel": "camel,llama",
    "deer": "deer,moose,elk,antelope,buck",
    "turtle": "turtle,tortoise",
    "squirrel": "squirrel",
    "pig": "pig,hog,boar",
    "donkey": "donkey,mule",
    "tiger": "tiger",
    "lion": "lion,lioness",
    "dolphin": "dolphin",
    "frog": "frog,toad",
    "butterfly": "butterfly",
}

VEHICLES = {
    "car": "car,sedan,taxi,cab,jeep,race car,racecar,sports car,automobile,hatchback,suv,"
    "station wagon",
    "bus": "bus,school bus,double decker,double decker bus,double-decker bus,tour bus",
    "truck": "truck,pickup,pickup truck,fire truck,firetruck,semi,semi truck,dump truck,"
    "tow truck,tractor trailer,fire engine,garbage truck,food truck",
    "van": "van,minivan",
    "train": "train,locomotive,subway train,passenger train,train engine,steam engine,tram,trolley",
    "boat": "boat,sailboat,ship,canoe,kayak,raft,motorboat,yacht,ferry,speedboat,rowboat,gondola,"
    "cruise ship,fishing boat,life raft,inflatable raft",
    "motorcycle": "motorcycle,motorbike,dirt bike,dirtbike,moped,motor bike,motor cycle,"
    "motocross bike,harley,motor scooter,vespa,dirt-bike",
    "bicycle": "bicycle,bike,mountain bike,bmx bike,dirt bicycle,tricycle,bmx,mountain bicycle",
    "airplane": "airplane,plane,jet,jetliner,airliner,aeroplane,fighter jet,biplane,"
    "jet plane,aircraft,"
    "jumbo jet,passenger jet,passenger plane",
    "helicopter": "helicopter",
    "tractor": "tractor",
    "scooter": "scooter",
    "atv": "atv,four wheeler,four-wheeler,dune buggy,quad",
    "skateboard": "skateboard,skate board,longboard",
    "surfboard": "surfboard,surf board,boogie board,bodyboard",
    "snowboard": "snowboard,snow board",
    "sled": "sled,sledge,toboggan",
    "wheelchair": "wheelchair",
    "unicycle": "unicycle",
    "stroller": "stroller",
    "wave": "wave",
    "carriage": "carriage,horse carriage,horse drawn carriage,buggy,wagon",
}

# What someone rides that is no vehicle in the sense of "what vehicle is this?".
NO_VEHICLES = (
    "skateboard surfboard snowboard sled wheelchair unicycle stroller wave carriage scooter"
)

FOODS = {
    "pizza": "pizza,pizza pie,pepperoni pizza,cheese pizza",
    "sandwich": "sandwich,sub sandwich,panini,hoagie,burger,hamburger,cheeseburger",
    "hot dog": "hot dog,hotdog,chili dog",
    "cake": "cake,birthday cake,wedding cake,cupcake,chocolate cake",
    "donut": "donut,doughnut",
    "salad": "salad",
    "soup": "soup,stew",
    "broccoli": "broccoli",
    "banana": "banana",
    "apple": "apple",
    "oranges": "oranges",
    "carrots": "carrot",
    "bread": "bread,loaf,toast,bagel,bun",
    "pasta": "pasta,spaghetti,noodle,macaroni",
    "rice": "rice",
    "ice cream": "ice cream,ice cream cone,icecream,popsicle",
    "fries": "fries,french fries,french fry",
    "watermelon": "watermelon",
    "corn": "corn",
}

GARMENTS = {
    "shirt": "shirt,t-shirt,tshirt,tee-shirt,tee shirt,t shirt,polo shirt,"
    "tank top,tanktop,top,blouse",
    "hat": "hat,cap,baseball cap,beanie,cowboy hat,ball cap,straw hat,hardhat,hard hat,"
    "baseball hat",
    "jacket": "jacket,coat,parka,windbreaker,winter coat,ski jacket,winter jacket",
    "dress": "dress,gown,wedding dress,sundress",
    "suit": "suit,tuxedo,business suit",
    "shorts": "shorts,swim trunks,trunks,swimming trunks",
    "pants": "pants,jeans,trousers,slacks",
    "helmet": "helmet",
    "swimsuit": "swimsuit,bathing suit,bikini,swim suit,swimming suit",
    "wetsuit": "wetsuit,wet suit",
    "uniform": "uniform,jersey,soccer uniform,football uniform,baseball uniform",
    "costume": "costume",
    "sweater": "sweater,sweatshirt,hoodie,cardigan",
    "skirt": "skirt",
    "tie": "tie,necktie,neck tie,bow tie",
    "glasses": "glasses,eyeglasses",
    "sunglasses": "sunglasses",
    "goggles": "goggles,swim goggles",
    "scarf": "scarf",
    "mask": "mask",
    "vest": "vest,life vest,life jacket",
    "apron": "apron",
    "backpack": "backpack",
    "gloves": "glove,mitten",
    "shoes": "shoe,sneaker,boots,boot",
    "collar": "collar",
    "bandana": "bandana,bandanna",
}

OBJECTS = {
    "ball": "ball,tennis ball,soccer ball,basketball,football,baseball,volleyball,beach ball,"
    "softball,"
    "rugby ball,rubber ball,golf ball",
    "frisbee": "frisbee,disc,frisby,flying disc",
    "stick": "stick,branch",
    "toy": "toy,stuffed animal,teddy bear,chew toy,doll,teddy,stuffed bear",
    "bat": "bat,baseball bat",
    "racket": "racket,racquet,tennis racket,tennis racquet",
    "rope": "rope",
    "camera": "camera,video camera",
    "phone": "phone,cell phone,cellphone,telephone,smartphone,smart phone,mobile phone",
    "umbrella": "umbrella,parasol",
    "guitar": "guitar,electric guitar,acoustic guitar",
    "flag": "flag,american flag",
    "sign": "sign,stop sign,street sign,poster,banner",
    "book": "book,magazine",
    "newspaper": "newspaper",
    "balloon": "balloon",
    "kite": "kite",
    "bag": "bag,purse,handbag,shopping bag,tote",
    "drink": "drink,beer,glass of wine,soda,beverage,bottle of beer,wine glass",
    "bottle": "bottle",
    "cup": "cup,mug,coffee cup",
    "microphone": "microphone",
    "laptop": "laptop,laptop computer,notebook computer",
    "computer": "computer,desktop computer,computer monitor",
    "television": "television,tv,flat screen tv,television set",
    "remote": "remote,remote control,controller,wii controller,wii remote,game controller,"
    "nintendo wii controller,video game controller",
    "skis": "skis,ski",
    "bench": "bench,park bench",
    "couch": "couch,sofa,loveseat",
    "chair": "chair,armchair,lawn chair,rocking chair",
    "bed": "bed",
    "table": "table,picnic table,coffee table,dining table,kitchen table,dining room table",
    "swing": "swing,tire swing,rope swing",
    "slide": "slide,water slide,waterslide",
    "trampoline": "trampoline",
    "tent": "tent",
    "fountain": "fountain,water fountain",
    "clock": "clock,alarm clock,clock tower",
    "toilet": "toilet",
    "sink": "sink",
    "refrigerator": "refrigerator,fridge",
    "stove": "stove,oven,range oven",
    "vase": "vase",
    "fire hydrant": "fire hydrant,hydrant",
    "traffic light": "traffic light,stop light,stoplight,traffic signal",
    "suitcase": "suitcase,luggage",
    "scissors": "scissors",
    "bridge": "bridge",
    "bucket": "bucket,pail",
    "cigarette": "cigarette,cigar",
    "shovel": "shovel",
    "hula hoop": "hula hoop",
    "flower": "flower,bouquet,rose",
    "knife": "knife",
    "toothbrush": "toothbrush,tooth brush",
    "paddle": "paddle,oar",
    "hose": "hose,garden hose",
    "fence": "fence,wire fence",
    "blanket": "blanket",
    "toy model": "toy truck,toy car,toy train,toy boat,model train,toy airplane,toy plane,"
    "toy gun,hobby horse,rocking horse,carousel horse,toy horse,toy dog",
    "house": "house,dog house",
    "instrument": "instrument,drum,violin,saxophone,trumpet,piano,flute,tuba,accordion,keyboard",
    "tunnel": "tunnel",
    "tire": "tire",
    "wall": "wall",
    "rock": "rock,boulder",
    "tree": "tree",
    "hair": "hair",
}

IRREGULAR = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "person": "people",
    "people": "people",
    "gentleman": "gentlemen",
    "businessman": "businessmen",
    "fisherman": "fishermen",
    "policeman": "policemen",
    "fireman": "firemen",
    "lady": "ladies",
    "baby": "babies",
    "goose": "geese",
    "calf": "calves",
    "sheep": "sheep",
    "fish": "fish",
    "deer": "deer",
    "cattle": "cattle",
    "oxen": "oxen",
    "knife": "knives",
    "loaf": "loaves",
    "scarf": "scarves",
    "aircraft": "aircraft",
}

# Names that stand for several already, or whose plural is left alone.
ALWAYS_PLURAL = frozenset(
    ("people", "cattle", "oxen", "toddlers", "couples", "policemen", "oranges", "fries", "crowd")
    + ("group", "family", "team", "couple", "audience", "band", "luggage", "twin")
)

# Words that say that the thing named after them is not a real one.
NOT_REAL = (
    "toy stuffed statue fake plastic painting drawing costume sculpture cartoon inflatable balloon "
    "ceramic carousel mural graffiti model figurine puppet doll mannequin reflection shadow logo "
    "shaped poster stone no without video suit mechanical miniature paper merry-go-round dummy "
    "mascot"
)
