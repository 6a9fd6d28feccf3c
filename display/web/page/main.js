import RFB from "./novnc/core/rfb.js";

const $ = (id) => document.getElementById(id);
const status = (text) => { $("status").textContent = text; };

let rfb;
let fit = false;
let copied = null; // by the guest, and not on the browser's clipboard yet
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
    copied = e.detail.text;
    copy().catch(() => {});
  });
}

// copy puts what the guest has copied on the browser's clipboard, which works only in a page that has the focus.
async function copy() {
  const text = copied;
  if (text === null) {
    return;
  }
  await navigator.clipboard.writeText(text);
  if (copied === text) {
    copied = null;
  }
}

// paste hands the guest what is on this browser's clipboard, which the browser may ask the user about.
async function paste() {
  rfb.clipboardPasteFrom(await navigator.clipboard.readText());
}

$("paste").addEventListener("click", () => {
  paste().catch((e) => status("the browser gives nothing to paste: " + e.message)).finally(() => rfb.focus());
});
// Where the user has allowed it once and for all, the guest has what was copied elsewhere.
window.addEventListener("focus", async () => {
  await copy().catch(() => {});
  const allowed = await navigator.permissions?.query({ name: "clipboard-read" }).catch(() => null);
  if (allowed?.state === "granted") {
    paste().catch(() => {});
  }
});
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
