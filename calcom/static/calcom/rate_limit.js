// Refreshes the accounts on the page every few seconds.
(() => {
  const accounts = document.getElementById("rate_limiter");
  const age = document.getElementById("rate-limit-age");
  if (!accounts) return;
  let answeredAt = Date.now();

  const address = () => {
    const url = new URL(window.location);
    url.searchParams.set("part", "accounts");
    return url;
  };

  // A selection that was not submitted yet is kept.
  const chosen = () => new Map([...accounts.querySelectorAll("select")].map((select) => [select.id, select.value]));

  function replace(part) {
    const before = chosen();
    accounts.innerHTML = part;
    for (const [id, value] of before) {
      const select = document.getElementById(id);
      if (select) select.value = value;
    }
  }

  const busy = () => document.hidden || (accounts.contains(document.activeElement) && document.activeElement.matches("select, button"));

  async function refresh() {
    if (busy()) return;
    try {
      const answer = await fetch(address(), { signal: AbortSignal.timeout(5000), redirect: "error" });
      if (!answer.ok) throw new Error(answer.status);
      const part = await answer.text();
      if (busy()) return;
      replace(part);
      answeredAt = Date.now();
      age.textContent = "This page keeps itself up to date.";
      age.classList.remove("gov-late");
    } catch {
      age.textContent = `Not up to date: the last answer came ${Math.round((Date.now() - answeredAt) / 1000)} seconds ago.`;
      age.classList.add("gov-late");
    }
  }

  setInterval(refresh, Number(accounts.dataset.every));
})();
