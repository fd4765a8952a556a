"""Where records come from, which of them must be forgotten, and how methods iterate over them."""
