// What the page knows: one object, so that each module may read it without knowing the others.

const marker = "/invitee/session/";
const at = location.pathname.lastIndexOf(marker);

export const base = location.pathname.slice(0, at); // path of the gateway's API, "/rcsgw"
export const linkAccount = decoded(location.pathname.slice(at + marker.length));

// What stands in a link, as far as it can be read: a broken one shall say so, not stop the page.
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const state = {
  gateway: null,
  conversations: new Map(), // uid → Conversation
  current: null, // the conversation on the screen
  running: null, // AbortController of this login
  coreLost: false,
  connected: false, // whether the event stream is open
  settings: { name: "", logo: "", features: ["file", "status", "standalone"], require_online: "no" },
};

export const element = (id) => document.getElementById(id);

export const offers = (feature) => state.settings.features.includes(feature);

// A value kept for this tab (sessionStorage) or for this browser (localStorage); null when storage is switched off.
function shelf(storage, key) {
  return {
    get() {
      try {
        return JSON.parse(window[storage].getItem(key));
      } catch {
        return null;
      }
    },
    set(value) {
      try {
        if (value === null) window[storage].removeItem(key);
        else window[storage].setItem(key, JSON.stringify(value));
      } catch {
        // Nothing worse than that it is forgotten.
      }
    },
  };
}

export const credentials = shelf("sessionStorage", `rcsgw ${linkAccount}`);
export const triedKeys = shelf("sessionStorage", `rcsgw tried ${linkAccount}`);
export const unsent = shelf("sessionStorage", `rcsgw unsent ${linkAccount}`);
export const drafts = shelf("sessionStorage", `rcsgw drafts ${linkAccount}`);
export const lastOpen = shelf("sessionStorage", `rcsgw open ${linkAccount}`);
export const chosenLanguage = shelf("localStorage", "rcsgw language");
export const chosenSound = shelf("localStorage", "rcsgw sound");

// The name by which the gateway tells this browser from others, where a link is good for one client only.
export function clientName() {
  const kept = shelf("localStorage", "rcsgw client");
  const name = kept.get() || Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16)).join("");
  kept.set(name);
  return name;
}

// All that this tab kept of a guest; what they chose stays.
export function forget() {
  for (const one of [credentials, unsent, triedKeys, drafts, lastOpen]) one.set(null);
}
