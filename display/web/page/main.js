import RFB from "./novnc/core/rfb.js";

const $ = (id) => document.getElementById(id);
const status = (text) => { $("status").textContent = text; };

let rfb;
let fit = false;
let wait = 250; // milliseconds until the next try

function connect() {
  const url = new URL("websocket", location.href);
  url.protocol = "ws:";
  rfb = new RFB($("screen"), url.href, { shared: true });
  rfb.scaleViewport = true;
  rfb.resizeSession = fit;
  rfb.showDotCursor = true;
  rfb.addEventListener("connect", () => {
    wait = 250;
    status("");
    rfb.focus();
  });
  rfb.addEventListener("disconnect", () => {
    status("disconnected: trying again");
    setTimeout(connect, wait);
    wait = Math.min(2 * wait, 5000);
  });
  rfb.addEventListener("desktopname", (e) => {
    $("name").textContent = e.detail.name;
    document.title = e.detail.name;
  });
  rfb.addEventListener("clipboard", (e) => {
    navigator.clipboard?.writeText(e.detail.text).catch(() => {});
  });
}

$("keys").addEventListener("click", () => {
  rfb.sendCtrlAltDel();
  rfb.focus();
});
$("fit").addEventListener("click", () => {
  fit = !fit;
  $("fit").setAttribute("aria-pressed", String(fit));
  rfb.resizeSession = fit;
  rfb.focus();
});
$("full").addEventListener("click", () => {
  $("screen").requestFullscreen();
  rfb.focus();
});

connect();
