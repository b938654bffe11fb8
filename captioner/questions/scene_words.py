"""Where a picture is and what is done in it: places, sports, actions and their verbs."""

# Places that answer "where": never two of one picture.
PLACES = {
    "beach": "beach,seashore,shore,shoreline,seaside,beachfront",
    "pool": "pool,swimming pool,kiddie pool,wading pool",
    "ocean": "ocean,sea,surf",
    "lake": "lake,pond",
    "river": "river,stream,creek,rapids",
    "water": "water",
    "snow": "snow,ski slope,snowbank,snowy hill,snowy mountain,snowy slope,ski lift",
    "street": "street,road,sidewalk,intersection,crosswalk,highway,city street",
    "field": "field,meadow,pasture,grassland",
    "grass": "grass,lawn",
    "forest": "forest,woods,jungle",
    "park": "park",
    "mountain": "mountain,cliff,mountainside,rock face",
    "desert": "desert,sand dune",
    "playground": "playground",
    "stadium": "stadium,arena",
    "court": "court,tennis court,basketball court,gym,gymnasium",
    "track": "racetrack,race track",
    "skate park": "skate park,skatepark",
    "yard": "yard,backyard,back yard,garden",
    "kitchen": "kitchen",
    "bathroom": "bathroom,restroom",
    "bedroom": "bedroom",
    "living room": "living room",
    "restaurant": "restaurant,cafe,diner,bar",
    "store": "store,shop,supermarket,market",
    "office": "office,cubicle",
    "airport": "airport,runway,tarmac",
    "train station": "train station,subway station,train platform",
    "stage": "stage",
    "zoo": "zoo",
    "parking lot": "parking lot",
}

# Where "in the" is not how it is said.
AT_PLACES = {
    "beach": "at the beach",
    "snow": "in the snow",
    "lake": "at a lake",
    "river": "at a river",
    "street": "on a street",
    "field": "in a field",
    "forest": "in a forest",
    "park": "in a park",
    "pool": "at a pool",
    "mountain": "in the mountains",
    "playground": "at a playground",
    "stadium": "in a stadium",
    "court": "on a court",
    "track": "on a race track",
    "skate park": "in a skate park",
    "yard": "in a yard",
    "kitchen": "in a kitchen",
    "bathroom": "in a bathroom",
    "bedroom": "in a bedroom",
    "living room": "in a living room",
    "restaurant": "in a restaurant",
    "store": "in a store",
    "office": "in an office",
    "airport": "at an airport",
    "train station": "at a train station",
    "stage": "on a stage",
    "zoo": "at a zoo",
    "parking lot": "in a parking lot",
}

# A place said more and less closely: the first gives way to any of the others.
VAGUE_PLACES = {
    "water": {"pool", "ocean", "lake", "river", "beach"},
    "grass": {"field", "park", "yard", "playground", "zoo", "stadium"},
    "ocean": {"beach"},
    "field": {"stadium", "park"},
    "mountain": {"snow"},
    "park": {"skate park", "playground"},
}

SPORTS = {
    "soccer": "soccer",
    "football": "football,quarterback",
    "basketball": "basketball",
    "baseball": "baseball,softball,batter,umpire",
    "tennis": "tennis",
    "hockey": "hockey",
    "volleyball": "volleyball",
    "rugby": "rugby",
    "golf": "golf,golfer,golfing",
    "cricket": "cricket",
    "skateboarding": "skateboarding,skateboarder,skateboarders,skateboard,skateboards",
    "surfing": "surfing,surfer,surfers,surfs,surfboard",
    "skiing": "skiing,skier,skiers,skis,ski",
    "snowboarding": "snowboarding,snowboarder,snowboarders,snowboard,snowboards",
    "rock climbing": "rock climbing,rock climber,climbing a rock,scaling a rock,climber",
    "wrestling": "wrestling,wrestlers,wrestler,wrestle",
    "boxing": "boxing,boxers,boxer",
    "kayaking": "kayaking,kayaker,kayak,kayaks",
    "gymnastics": "gymnastics,gymnast",
    "ice skating": "ice skating,ice skater,figure skater",
    "motocross": "motocross,dirt bike,dirt bikes",
    "wakeboarding": "wakeboarding,wakeboarder,water skiing,waterskiing",
    "horse racing": "jockey,jockeys,horse race,horse racing",
    "frisbee": "frisbee",
    "cycling": "cyclist,cyclists,bicyclist,bicyclists,bicycle race,bike race",
}

# Actions that answer "what is the dog doing?": the first verb is the answer's own.
ACTIONS = {
    "running": "run,sprint,race,jog,dash,gallop",
    "jumping": "jump,leap,hop",
    "swimming": "swim",
    "walking": "walk,stroll,hike",
    "sitting": "sit",
    "standing": "stand",
    "sleeping": "sleep,nap",
    "lying down": "lay,lie",
    "climbing": "climb,scale",
    "eating": "eat,chew",
    "drinking": "drink",
    "surfing": "surf",
    "skiing": "ski",
    "snowboarding": "snowboard",
    "skateboarding": "skateboard",
    "dancing": "dance",
    "sliding": "slide",
    "swinging": "swing",
    "reading": "read",
    "flying": "fly",
    "fighting": "fight,wrestle",
    "digging": "dig",
    "singing": "sing",
    "fishing": "fish",
    "cooking": "cook",
    "grazing": "graze",
    "kissing": "kiss",
    "hugging": "hug",
    "painting": "paint",
    "smoking": "smoke",
    "crawling": "crawl",
    "skating": "skate",
    "kayaking": "kayak",
    "bowling": "bowl",
    "diving": "dive",
    "riding": "ride",
    "rolling": "roll",
}

# Groups in which one action rules the others out, so that "is the dog sitting?" is surely "no".
APART = (
    {"running", "sitting", "sleeping", "lying down", "swimming"},
    {"jumping", "sitting", "sleeping", "lying down", "standing", "walking"},
    {"walking", "sitting", "sleeping", "lying down", "swimming", "jumping", "running"},
    {"standing", "sitting", "sleeping", "lying down", "swimming", "running", "jumping"},
    {"surfing", "skiing", "skateboarding", "snowboarding", "walking", "reading", "sleeping"},
    {"climbing", "sitting", "swimming", "sleeping", "running", "skateboarding", "surfing"},
    {"sitting", "skateboarding", "snowboarding", "surfing", "skiing", "dancing"},
)

# "What is the man holding?": the verbs, the words that may follow them, and what kinds answer it.
RELATIONS = {
    "holding": ("hold,carry", ("",), "object food vehicle animal"),
    "riding": ("ride", ("", "on", "in", "down", "along"), "vehicle animal object"),
    "sitting on": ("sit", ("on", "down on", "in"), "object vehicle"),
    "throwing": ("throw", ("",), "object"),
    "catching": ("catch", ("",), "object animal"),
    "chasing": ("chase", ("", "after"), "object animal"),
    "playing with": ("play", ("with",), "object animal"),
    "eating": ("eat", ("", "on"), "food"),
    "reading": ("read", ("",), "object"),
    "pulling": ("pull", ("", "on"), "object vehicle animal"),
    "pushing": ("push", ("",), "object vehicle"),
    "jumping over": ("jump,leap", ("over",), "object animal"),
    "looking at": ("look,stare", ("at",), "object animal vehicle"),
    "wearing": ("wear", ("",), "garment"),
    "playing": ("play", ("", "the"), "object"),
}

# Verbs that no answer names, but that tell where a noun ends: "a dog wears ..." is no "dog wear".
OTHER_VERBS = (
    "wears wear holds hold carries carry plays play looks look watches watch chases chase "
    "catches catch throws throw pulls pull pushes push takes take gets get goes go makes make "
    "poses pose performs perform does do tries try attempts attempt splashes splash smiles "
    "smile talks talk waits wait works work falls fall flips flip hits hit kicks kick drives "
    "drive leans lean hangs hang rests rest paddles paddle crosses cross stares stare appears "
    "appear prepares prepare enjoys enjoy shows show waves turns turn moves move rides ride "
    "bites bite licks lick shakes shake reaches reach comes come passes pass tackles tackle "
    "balances balance sticks gather gathers blows blow points point laughs laugh walked parked "
    "covered filled seen dressed made lit sat stood laid held sit stand walk run leaps leap "
    "approaches follows leads lead can barks bark sniffs sniff fetches fetch peers peer listens "
    "listen gives give uses use kneels kneel bends bend shoots shoot raises raise spins spin "
    "grabs grab tosses toss speaks speak tugs tug retrieves retrieve trots trot bounds bound "
    "steps step descends descend ascends ascend lands land splashed drinks kisses stretches "
    "stretch swings lifts lift attempted paints grins"
)

FUNCTION_WORDS = (
    "a an the is are was were be being been has have in on at with and of or to from by for into "
    "onto over under through near next beside behind while as that which who whom whose where when "
    "up down off out along across around outside inside between among above below toward towards "
    "against past during after before about its his her their another other each very both all "
    "together there it they he she looking also atop underneath beneath outdoors indoors alone "
    "away because than but then just against amid upon via whilst 's is's not"
)

# The "group" of "a group of cows", which says nothing of people.
QUANTITIES = ("couple", "group", "crowd", "band", "family", "team")
