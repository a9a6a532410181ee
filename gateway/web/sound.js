// A short, low tone for what comes while nobody looks at it; it can be turned off.

import { chosenSound, state } from "./state.js";

let context = null; // one for all tones: browsers allow a few

export function sound(conversation) {
  if ((!document.hidden && conversation === state.current) || chosenSound.get() === false) return;
  try {
    context ??= new AudioContext();
    context.resume(); // a page that was never touched stays silent
    if (context.state !== "running") return;
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.frequency.value = 660;
    volume.gain.setValueAtTime(0.08, context.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, context.currentTime + 0.25);
    tone.connect(volume).connect(context.destination);
    tone.start();
    tone.stop(context.currentTime + 0.25);
  } catch {
    // A browser without sound.
  }
}
