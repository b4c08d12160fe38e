"""A browser that is logged in, and counts its clicks."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

from tests.bookings.helpers import PATIENCE

PICTURES = Path(settings.BASE_DIR) / ".local" / "browser"
WIDTHS = (1400, 820, 390)


@dataclass
class Desk:
    """The admin in a browser."""

    driver: WebDriver
    base_url: str
    clicks: int = 0

    def open(self, address: str) -> None:
        """Type an address."""
        self.driver.get(self.base_url + address)

    def click(self, words: str) -> None:
        """Click the link or button with these words, and count it."""
        self.find(words).click()
        self.clicks += 1

    def find(self, words: str) -> WebElement:
        """Return the link or button that shows these words alone, else among others, as soon as it is there."""
        named = f"//*[self::a or self::button][normalize-space(.) = {words!r}]"
        holding = f"//*[self::a or self::button][contains(normalize-space(.), {words!r})]"

        def found(driver: WebDriver) -> WebElement | None:
            shown = driver.find_elements(By.XPATH, named) or driver.find_elements(By.XPATH, holding)
            return next((each for each in shown if each.is_displayed()), None)

        element: WebElement = WebDriverWait(self.driver, PATIENCE).until(found)
        return element

    def type(self, name: str, text: str) -> None:
        """Type into the field."""
        self.driver.find_element(By.NAME, name).send_keys(text)

    def await_words(self, words: str) -> None:
        """Wait until the page shows the words, without a click."""
        WebDriverWait(self.driver, PATIENCE).until(expected.text_to_be_present_in_element((By.TAG_NAME, "body"), words))

    def resize(self, width: int) -> None:
        """Be a screen of this width, as a phone is one."""
        screen = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def overhang(self) -> int:
        """Return by how many pixels the page is wider than the screen."""
        return int(self.driver.execute_script("return document.documentElement.scrollWidth - innerWidth"))

    def complaints(self) -> list[str]:
        """Return what the browser's console says since it was asked last, but for the icon that we have not."""
        lines = self.driver.get_log("browser")
        return [line["message"] for line in lines if "favicon" not in line["message"]]


@pytest.fixture(scope="session")
def browser() -> Iterator[WebDriver]:
    """Chromium without a window."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("!!! NOT TRIED IN A BROWSER: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"):
        options.add_argument(argument)
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(driver))
    yield running
    running.quit()


@pytest.fixture
def desk(browser: WebDriver, live_server, salon) -> Desk:
    """The admin of the salon, as its owner sees it, opened on the day of the branch."""
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    browser.delete_all_cookies()
    browser.get(f"{live_server.url}/admin/login/")
    browser.add_cookie({"name": settings.SESSION_COOKIE_NAME, "value": client.session.session_key, "path": "/"})
    desk = Desk(browser, live_server.url)
    desk.resize(WIDTHS[0])
    desk.complaints()
    return desk
