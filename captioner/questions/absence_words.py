"""What may be there though no caption names it, so that "is there a dog?" must not be "no"."""

_ANIMAL = "animal animals pet pets creature wildlife zoo herd flock mammal"

_INSIDE = (
    "room kitchen bathroom bedroom office restaurant living house home apartment inside "
    "indoors indoor store shop cafe bar hotel table desk"
)

_STREET = (
    "street road city traffic parking highway intersection downtown town sidewalk driveway "
    "parked vehicle vehicles urban garage lot taxi cab driver alley curb crosswalk racing "
    "race track suburban neighborhood bridge"
)

_BIKE = "biker bikers cyclist cyclists bicyclist bicyclists biking cycling rider riders riding bmx"

_BALL = (
    "game match player players playing plays play soccer football basketball baseball tennis "
    "volleyball rugby softball cricket golf team teams pitcher batter catch catching goal goalie "
    "court bowling toy toys pool throw throwing sport sports bat racket racquet hoop net dog dogs"
)

# Words that tell of people without naming them.
_PEOPLE = (
    "he she his her him they their himself herself who someone's player's man's woman's boy's "
    "girl's riding surfing skiing snowboarding skateboarding biking playing game match race parade "
    "performance soccer football basketball baseball tennis hockey volleyball hand hands arm arms "
    "wearing holding anyone hair beard jeans shirt bathers skateboards skateboard bikers ladies "
    "they're legs leg feet foot face lap party market "
    "parachute gymnasts graduation wedding costume costumes dressed nude"
)

# What "is there a ...?" is asked of, as the question says it, and the words that leave it open
# whether one is there that no caption names.
ASKED_THINGS = {
    "animal": ("an animal", _ANIMAL + " riding rider carriage bull leash saddle rodeo aquarium"),
    **{
        animal: (phrase, _ANIMAL + " " + more)
        for animal, phrase, more in (
            ("dog", "a dog", "leash"),
            ("cat", "a cat", ""),
            ("horse", "a horse", "carriage rodeo jockey polo riding rider riders saddle bronco"),
            ("cow", "a cow", "rodeo farm"),
            ("sheep", "a sheep", "farm goat goats"),
            ("bird", "a bird", "wings feathers"),
            ("elephant", "an elephant", ""),
            ("zebra", "a zebra", ""),
            ("giraffe", "a giraffe", ""),
            ("bear", "a bear", "teddy"),
        )
    },
    "person": ("a person", _PEOPLE),
    "man": ("a man", "boy lady male young"),
    "woman": ("a woman", "girl child kid female mother young her she"),
    "boy": ("a boy", "man child kid young youth"),
    "girl": ("a girl", "woman lady child kid young her she"),
    "child": ("a child", "young youth small little school"),
    "baby": ("a baby", "small little young"),
    "car": ("a car", _STREET),
    "bus": ("a bus", _STREET),
    "truck": ("a truck", _STREET),
    "train": ("a train", "tracks track railroad rail station subway"),
    "boat": (
        "a boat",
        "harbor dock marina pier paddle paddling rowing lake rapids vessel kayaking"
        " canoeing sailing rafting fishing river ocean sea",
    ),
    "motorcycle": ("a motorcycle", _STREET + " " + _BIKE + " bike bikes bicycle motocross biker"),
    "bicycle": ("a bicycle", _STREET + " " + _BIKE + " motorcycle motorbike motocross"),
    "airplane": ("an airplane", "airport runway aircraft helicopter"),
    "skateboard": (
        "a skateboard",
        "skateboarder skateboarding skateboarders skating skate skater "
        "skaters board boards ramp boy tricks trick",
    ),
    "surfboard": ("a surfboard", "surfer surfers surfing surf surfs board wave waves beach"),
    "snowboard": ("a snowboard", "snowboarder snowboarders snowboarding board skiing skis snow"),
    "ball": ("a ball", _BALL),
    "frisbee": ("a frisbee", "disc toy toys catch catching throwing playing dog dogs park"),
    "guitar": ("a guitar", "band musician musicians music instrument instruments playing stage"),
    "umbrella": ("an umbrella", "parasol beach rain raining restaurant patio shade umbrellas"),
    "kite": ("a kite", "flying sky beach parasailing kiteboarding"),
    "bench": ("a bench", "seat seats seated sitting sits sit park sat"),
    "bed": (
        "a bed",
        "bedroom sleeping laying lying hotel blanket pillow pillows mattress crib room sheets",
    ),
    "couch": ("a couch", "living room sitting sits furniture seat lobby chair"),
    "laptop": ("a laptop", "computer computers desk office keyboard screen monitor"),
    "toilet": ("a toilet", "bathroom restroom urinal stall bath urinals"),
    "clock": ("a clock", _INSIDE + " tower building church station wall steeple"),
    "refrigerator": ("a refrigerator", _INSIDE),
    "pizza": ("a pizza", "food meal plate dinner restaurant cheese pan oven eating slice slices"),
    "cake": ("a cake", "food dessert meal plate birthday wedding eating cupcakes restaurant slice"),
    "tent": ("a tent", "camping camp campsite market canopy festival party"),
    "trampoline": ("a trampoline", "bouncing bounce jumping"),
    "snow": (
        "snow",
        "ski skiing skis skier snowboard snowboarding snowboarder winter ice icy "
        "sled sledding snowy snowball snowman snowmobile cold mountain mountains frozen "
        "snow-covered slope white",
    ),
    "grass": (
        "grass",
        "grassy field lawn park yard meadow outside outdoors green garden dog dogs "
        "golf soccer hill ground backyard weeds baseball farm trees forest woods path "
        "pasture countryside hay football play playing plants tree",
    ),
    "water": (
        "water",
        "ocean sea lake river pool beach pond stream wave waves surf surfing swim "
        "swimming swims boat boats wet fountain splash splashing splashes shore rain puddle "
        "creek hose sprinkler bath waterfall rapids surfer kayak harbor dock sink drink "
        "drinking bathtub bridge raft canoe sailing fishing wading dives diving tub sand "
        "island bottle glass ship waters wetsuit shower toilet bathroom kitchen",
    ),
}
