"""What a visitor says of himself: demographics and interests, each one reserved event of his.

The value travels in the record's category (interests: category, brand and item), so the log is readable by itself.
"""

from __future__ import annotations

AGE_GROUPS = ("under_18", "18-24", "25-34", "35-44", "45-54", "55-64", "65+")
GENDERS = ("female", "male", "other")
ATTRIBUTES = ("age_group", "gender", "location")
"""Demographics. A location is named as the application names places, such as by country code."""
LOCATION = "location"
"""Kind of the declarations that keep the names of locations, so that a key can be read."""
PROFILE = tuple(f"${name}" for name in ATTRIBUTES)
"""Event types that set one of `ATTRIBUTES`; "" as category withdraws it."""
INTEREST = "$interest"
"""Event type of one interest: a category, a brand or an item."""
