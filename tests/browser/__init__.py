"""The staff's pages in a real browser: Debian's Chromium."""
