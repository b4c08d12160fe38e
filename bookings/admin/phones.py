"""Telephone numbers as people at a desk read them."""

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat


def readable(number: str | None, region: str = "") -> str:
    """Return a stored number with spaces; without the country code, where it is the region's. Empty without one."""
    if not number:
        return ""
    try:
        parsed = phonenumbers.parse(number, None)
    except NumberParseException:
        return number
    is_near = region and phonenumbers.region_code_for_number(parsed) == region
    written = PhoneNumberFormat.NATIONAL if is_near else PhoneNumberFormat.INTERNATIONAL
    return phonenumbers.format_number(parsed, written)
