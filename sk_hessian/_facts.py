"""Facts that a class above has as an attribute and a subclass computes.

At run time these are `property` and `functools.cached_property`. To a type checker they are attributes, so that it can
compare all other overrides.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    def fact(getter: Any) -> Any:
        """A property in place of an attribute."""

    def lasting_fact(getter: Any) -> Any:
        """A cached property in place of an attribute."""

else:
    fact, lasting_fact = property, cached_property

__all__ = ["fact", "lasting_fact"]
