// Keeps the part of the page that has data-refresh (milliseconds) up to date, and says so where it cannot.
(() => {
  const live = document.querySelector("[data-refresh]");
  let answeredAt = new Date();

  const words = (text) => {
    const place = live.querySelector("[data-late-words]");
    if (place) place.textContent = text;
  };

  const busy = () => document.hidden || (live.contains(document.activeElement) && document.activeElement.matches("select, input, textarea"));

  async function refresh() {
    if (busy()) return;
    try {
      const url = new URL(window.location);
      url.searchParams.set("part", "live");
      const answer = await fetch(url, { signal: AbortSignal.timeout(8000), redirect: "error" });
      if (!answer.ok) throw new Error(answer.status);
      const part = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(live.id);
      if (busy() || !part) return;
      const board = live.querySelector(".desk-board");
      const [left, focused] = [board?.scrollLeft, document.activeElement?.getAttribute?.("href")];
      live.replaceChildren(...part.childNodes);
      if (left) live.querySelector(".desk-board").scrollLeft = left;
      if (focused) live.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      answeredAt = new Date();
      if (part.dataset.refresh === undefined) clearInterval(timer);
    } catch {
      words(`${live.dataset.late} ${answeredAt.toTimeString().slice(0, 5)}.`);
    }
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-print]")) window.print();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.submit();
  });
  const timer = live && setInterval(refresh, Number(live.dataset.refresh));
})();
