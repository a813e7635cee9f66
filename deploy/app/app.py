"""A shop, to begin with; put your own application here (see `nearline init`)."""

from nearline import App

app = App(name="shop", events=["seen", "view", "click", "add_to_cart", "purchase", "search", "dislike", "return"])
