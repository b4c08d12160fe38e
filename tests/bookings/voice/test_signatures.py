"""Only what the platform signed is accepted: the recorded vectors, and every byte and every border of the windows."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.voice import signatures
from bookings.voice.signatures import VapiPlan

NOW = 1_796_032_800
BODY = (
    '{"name":"check_availability","call":{"call_id":"call_1","from_number":"+4915123456789"},'
    '"args":{"service":"Färben","when":"Samstag um elf Uhr"}}'
).encode()
RETELL = "v=1796032800000,d=e11a6fb4325a5faabd1896118f68c7f0b64651909a511677a5be71853da19d2a"
ELEVENLABS = "t=1796032800,v0=2cb46c9cc6cb00374a873916e34e01e59c746945a042911811614205d77aee51"
BLAND = "e505eca7cc5be57c7e6b14385d8702ff0ac0fd9b19cd51d1951bc02a3fbf8bf6"
VAPI = {
    ("sha256", "hex"): "bb15a830ba1dfca836ad697a7598972f1353e2cc97b30f7506a379d1ca454a03",
    ("sha256", "base64"): "uxWoMLod/Kg2rWl6dZiXLxNT4syXsw91BqN50cpFSgM=",
    ("sha1", "hex"): "f216e40bdfacb3d7b302244958f5f2e5b9af629b",
}


def is_retell(body: bytes = BODY, header: str = RETELL, *, secret: str = "key_test_retell", now: float = NOW) -> bool:
    return signatures.is_retell(secret, body, header, now=now)


def is_elevenlabs(body: bytes = BODY, header: str = ELEVENLABS, *, now: float = NOW) -> bool:
    return signatures.is_elevenlabs("wsec_test", body, header, now=now)


def is_vapi(plan: VapiPlan, signature: str, *, body: bytes = BODY, timestamp: str = str(NOW), now: float = NOW) -> bool:
    headers = {plan.signature_header: signature, plan.timestamp_header: timestamp}
    return signatures.is_vapi(plan, body, headers, method="POST", url="https://slotline.example/x", now=now)


def test_recorded_signatures_are_accepted() -> None:
    assert is_retell()
    assert is_elevenlabs()
    assert signatures.is_bland("bland_test", BODY, BLAND)
    for (algorithm, encoding), signature in VAPI.items():
        assert is_vapi(VapiPlan(secret="vapi_hmac_test", algorithm=algorithm, encoding=encoding), signature)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_body_with_one_other_byte_is_refused(place: int, change: int) -> None:
    other = bytearray(BODY)
    other[place] ^= change

    assert not is_retell(bytes(other))
    assert not is_elevenlabs(bytes(other))
    assert not signatures.is_bland("bland_test", bytes(other), BLAND)
    assert not is_vapi(VapiPlan(secret="vapi_hmac_test"), VAPI["sha256", "hex"], body=bytes(other))


@given(st.integers(0, len(RETELL) - 1), st.characters(max_codepoint=0x24F))
def test_header_with_one_other_character_is_refused(place: int, character: str) -> None:
    def changed(header: str) -> str:
        place_here = place % len(header)
        return header[:place_here] + character + header[place_here + 1 :]

    for header, is_accepted in (
        (RETELL, is_retell(header=changed(RETELL))),
        (ELEVENLABS, is_elevenlabs(header=changed(ELEVENLABS))),
        (BLAND, signatures.is_bland("bland_test", BODY, changed(BLAND))),
    ):
        assert is_accepted == (changed(header) == header)


@given(st.integers(0, 200), st.text(max_size=8))
def test_header_with_anything_put_in_is_refused(place: int, text: str) -> None:
    for header, check in ((RETELL, is_retell), (ELEVENLABS, is_elevenlabs)):
        at = place % (len(header) + 1)
        assert check(header=header[:at] + text + header[at:]) == (text == "")


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(0, True), (300, True), (-300, True), (300.001, False), (-300.001, False)]
)
def test_retell_window_is_five_minutes_both_ways(seconds: float, accepted: bool) -> None:
    assert is_retell(now=NOW + seconds) == accepted


@pytest.mark.parametrize(("seconds", "accepted"), [(1_800, True), (1_801, False), (-300, True), (-301, False)])
def test_elevenlabs_window_reaches_half_an_hour_back(seconds: int, accepted: bool) -> None:
    assert is_elevenlabs(now=NOW + seconds) == accepted


@pytest.mark.parametrize(("seconds", "accepted"), [(300, True), (301, False), (-301, False)])
def test_vapi_window_is_five_minutes_both_ways(seconds: int, accepted: bool) -> None:
    plan = VapiPlan(secret="vapi_hmac_test")

    assert is_vapi(plan, VAPI["sha256", "hex"], now=NOW + seconds) == accepted


def test_vapi_timestamp_may_be_in_milliseconds() -> None:
    stamp = f"{NOW}000"
    signature = hmac.new(b"s", f"{stamp}.".encode() + BODY, hashlib.sha256).hexdigest()

    assert is_vapi(VapiPlan(secret="s"), signature, timestamp=stamp)
    assert not is_vapi(VapiPlan(secret="s"), signature, timestamp=stamp, now=NOW + 301)


def test_vapi_plan_names_headers_prefix_and_payload() -> None:
    plan = VapiPlan(
        secret=base64.b64encode(b"raw").decode(),
        secret_is_base64=True,
        algorithm="sha512",
        prefix="sha512=",
        payload="{method} {url} {body}",
        signature_header="x-own",
    )
    signed = b"POST https://slotline.example/x " + BODY

    assert is_vapi(plan, f"sha512={hmac.new(b'raw', signed, hashlib.sha512).hexdigest()}", timestamp="")
    assert not is_vapi(plan, hmac.new(b"raw", signed, hashlib.sha512).hexdigest(), timestamp="")


def test_body_that_names_parts_of_the_payload_is_signed_as_it_is() -> None:
    body = b'{"x":"{timestamp}"}'
    signature = hmac.new(b"s", f"{NOW}.".encode() + body, hashlib.sha256).hexdigest()

    assert is_vapi(VapiPlan(secret="s"), signature, body=body)


@pytest.mark.parametrize("secret", ["", "another"])
def test_wrong_or_missing_secret_signs_nothing(secret: str) -> None:
    stamp = f"{NOW}000"
    own = hmac.new(secret.encode(), BODY + stamp.encode(), hashlib.sha256).hexdigest()

    assert not is_retell(secret=secret)
    assert is_retell(header=f"v={stamp},d={own}", secret=secret) == bool(secret)


@pytest.mark.parametrize("header", ["", RETELL.upper(), RETELL.replace(",", ", "), f"{RETELL}\n", RETELL + ",d=0"])
def test_header_of_another_form_is_refused(header: str) -> None:
    assert not is_retell(header=header)
