"""What the synthetic shop sells: departments, leaf categories, brands, and the words of titles. Data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Department:
    """A top category: its invented brands, and the first and second words of its titles."""

    name: str
    brands: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf category.

    Args:
        path: "Department > Group > Leaf".
        price: median price.
        spread: standard deviation of log price.
        nouns: what its items are called; also what people search for.
        complement: last name of the leaf that a purchase here makes likely next.
    """

    path: str
    price: float
    spread: float
    nouns: tuple[str, ...]
    complement: str

    @property
    def department(self) -> str:
        """Return the top of the path."""
        return self.path.split(" > ", 1)[0]

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rsplit(" > ", 1)[1]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_COLOURS = "Black White Blue Red Green Grey Sand Coral Navy Olive Ivory Copper Violet Teal"

DEPARTMENTS: tuple[Department, ...] = (
    Department("Electronics", _words("Voltan Nexar Lumio Arkwave Pixten Orbel Zenix Quanta"),
               _words(_COLOURS), _words("Nova Pulse Edge Orbit Prime Wave Flux Core Zen Apex Neo Sonic")),
    Department("Fashion", _words("Marlowe Tessa Northam Velora Ruskin Ombra Calder Fjordly"),
               _words(_COLOURS), _words("Harbor Linden Metro Riviera Studio Avenue Coast Willow City")),
    Department("Sports", _words("Stride Kestrel Summitek Ridgeline Aquor Torque Pacer Boreal"),
               _words(_COLOURS), _words("Trail Sprint Alpine Summit Glide Rapid Storm Swift Canyon Enduro")),
    Department("Home", _words("Hearthly Casara Oakmont Brixel Nordhus Solenne Tavola Kindred"),
               _words(_COLOURS), _words("Loft Cottage Aria Terra Hygge Meadow Lago Stella Grove Fjord")),
    Department("Beauty", _words("Florine Serae Dewly Botanica Mira Alba Kohlar Verbena"),
               _words("Rose Citrus Velvet Silk Amber Aloe Honey Cedar Jasmine Mint Pearl Oat"),
               _words("Glow Calm Dew Bloom Pure Fresh Radiance Balance Night Morning")),
    Department("Books", _words("Lantern Quillhouse Bluegate Harrow Papertree Ninefold Octavo Marginalia"),
               _words("Silent Lost Hidden Last Distant Golden Broken Crimson Endless Secret Winter Paper"),
               _words("Harbor Garden River Empire Letters Shadow Kingdom Island Clock Orchard Voyage Stars")),
    Department("Toys", _words("Bobbin Playfold Tinkerly Wobble Brightbox Pogo Mosaico Kitely"),
               _words("Happy Mighty Magic Tiny Giant Rainbow Turbo Jungle Cosmic Pirate Dino Fairy"),
               _words("Castle Rocket Safari Farm Circus Robot Forest Ocean Racer Village")),
    Department("Pets", _words("Pawly Whisker Furrow Barkley Tailwind Nibble Meowdow Rufus"),
               _words("Happy Cosy Natural Gentle Tasty Active Royal Country Wild Soft"),
               _words("Paws Meadow Bowl Tail Den Hunter Garden River Snout Nest")),
)  # fmt: skip

LEAVES: tuple[Leaf, ...] = (
    Leaf("Electronics > Phones > Smartphones", 480, 0.5, ("smartphone", "5G phone"), "Cases"),
    Leaf("Electronics > Phones > Cases", 19, 0.4, ("phone case", "wallet case"), "Chargers"),
    Leaf("Electronics > Phones > Chargers", 24, 0.4, ("charger", "power bank"), "Headphones"),
    Leaf("Electronics > Audio > Headphones", 95, 0.7, ("headphones", "earbuds"), "Speakers"),
    Leaf("Electronics > Audio > Speakers", 120, 0.7, ("speaker", "soundbar"), "Headphones"),
    Leaf("Electronics > Computers > Laptops", 850, 0.4, ("laptop", "ultrabook"), "Keyboards"),
    Leaf("Electronics > Computers > Keyboards", 60, 0.5, ("keyboard", "mechanical keyboard"), "Laptops"),
    Leaf("Fashion > Women > Dresses", 65, 0.5, ("dress", "maxi dress"), "Bags"),
    Leaf("Fashion > Women > Bags", 85, 0.7, ("handbag", "tote bag"), "Watches"),
    Leaf("Fashion > Men > Shirts", 42, 0.4, ("shirt", "linen shirt"), "Jeans"),
    Leaf("Fashion > Men > Jeans", 60, 0.4, ("jeans", "slim jeans"), "Sneakers"),
    Leaf("Fashion > Shoes > Sneakers", 80, 0.4, ("sneakers", "canvas sneakers"), "Jeans"),
    Leaf("Fashion > Accessories > Watches", 140, 0.8, ("watch", "automatic watch"), "Shirts"),
    Leaf("Sports > Running > Running shoes", 110, 0.3, ("running shoes", "trail shoes"), "Running wear"),
    Leaf("Sports > Running > Running wear", 45, 0.4, ("running jacket", "running shorts"), "Running shoes"),
    Leaf("Sports > Fitness > Weights", 55, 0.6, ("dumbbells", "kettlebell"), "Yoga"),
    Leaf("Sports > Fitness > Yoga", 35, 0.5, ("yoga mat", "yoga block"), "Running wear"),
    Leaf("Sports > Outdoor > Tents", 190, 0.5, ("tent", "family tent"), "Backpacks"),
    Leaf("Sports > Outdoor > Backpacks", 90, 0.5, ("backpack", "hiking pack"), "Tents"),
    Leaf("Home > Kitchen > Cookware", 70, 0.6, ("frying pan", "casserole"), "Knives"),
    Leaf("Home > Kitchen > Knives", 50, 0.6, ("chef knife", "knife set"), "Cookware"),
    Leaf("Home > Kitchen > Coffee makers", 130, 0.7, ("espresso machine", "coffee maker"), "Mugs"),
    Leaf("Home > Kitchen > Mugs", 16, 0.3, ("mug", "mug set"), "Coffee makers"),
    Leaf("Home > Living > Lamps", 60, 0.6, ("table lamp", "floor lamp"), "Cushions"),
    Leaf("Home > Living > Cushions", 25, 0.4, ("cushion", "throw blanket"), "Lamps"),
    Leaf("Home > Bedroom > Bedding", 75, 0.5, ("duvet cover", "bed linen"), "Cushions"),
    Leaf("Beauty > Skin > Moisturisers", 28, 0.6, ("moisturiser", "day cream"), "Serums"),
    Leaf("Beauty > Skin > Serums", 38, 0.6, ("serum", "face oil"), "Moisturisers"),
    Leaf("Beauty > Hair > Shampoo", 14, 0.4, ("shampoo", "conditioner"), "Serums"),
    Leaf("Beauty > Fragrance > Perfume", 75, 0.5, ("eau de parfum", "cologne"), "Moisturisers"),
    Leaf("Books > Fiction > Crime", 13, 0.3, ("crime novel", "thriller"), "Fantasy"),
    Leaf("Books > Fiction > Fantasy", 15, 0.3, ("fantasy novel", "fantasy saga"), "Board games"),
    Leaf("Books > Non-fiction > History", 22, 0.4, ("history book", "biography"), "Crime"),
    Leaf("Books > Non-fiction > Cooking", 27, 0.3, ("cookbook", "baking book"), "Cookware"),
    Leaf("Toys > Building > Bricks", 40, 0.7, ("brick set", "building set"), "Puzzles"),
    Leaf("Toys > Games > Board games", 32, 0.4, ("board game", "card game"), "Puzzles"),
    Leaf("Toys > Games > Puzzles", 18, 0.3, ("puzzle", "3D puzzle"), "Board games"),
    Leaf("Pets > Dogs > Dog food", 35, 0.4, ("dog food", "dog treats"), "Dog beds"),
    Leaf("Pets > Dogs > Dog beds", 55, 0.4, ("dog bed", "dog blanket"), "Dog food"),
    Leaf("Pets > Cats > Cat food", 28, 0.4, ("cat food", "cat treats"), "Cat toys"),
    Leaf("Pets > Cats > Cat toys", 12, 0.4, ("cat toy", "scratching post"), "Cat food"),
)

_BY_NAME = {leaf.name: row for row, leaf in enumerate(LEAVES)}

COMPLEMENTS: tuple[int, ...] = tuple(_BY_NAME[leaf.complement] for leaf in LEAVES)
"""For each leaf, the row of its complement."""

DEPARTMENT_OF: tuple[int, ...] = tuple([d.name for d in DEPARTMENTS].index(leaf.department) for leaf in LEAVES)
"""For each leaf, the row of its department."""
