// The microphone as 16-bit pieces at its own rate; errors are sentences that users can act on.

const BEGIN_MS = 3000;
const REASONS = {
  NotAllowedError: "The microphone is blocked: allow it for this page and try again.",
  NotFoundError: "No microphone was found: connect one and try again.",
  NotReadableError: "The microphone is in use by another program, or does not work.",
  OverconstrainedError: "The chosen microphone is no longer available: choose another one.",
};

export class Microphone {
  /**
   * Opens it; onPiece(Uint8Array, peak 0-1), onEnd() if it is unplugged; sampleRate: by default its own. Throws an
   * Error with one sentence.
   */
  static async open(deviceId, onPiece, onEnd, sampleRate) {
    if (!navigator.mediaDevices?.getUserMedia || !globalThis.AudioWorkletNode) {
      throw new Error(
        "Browsers allow microphone access only on https pages and on localhost: open this page that way.",
      );
    }
    const microphone = new Microphone();
    try {
      await microphone.#start(deviceId, onPiece, onEnd, sampleRate);
    } catch (error) {
      microphone.close();
      throw new Error(REASONS[error.name] ?? `The microphone cannot be opened: ${error.message}.`);
    }
    return microphone;
  }

  async #start(deviceId, onPiece, onEnd, sampleRate) {
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    if (deviceId) audio.deviceId = { exact: deviceId };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio });
    this.context = new AudioContext({ latencyHint: "interactive", sampleRate });
    await this.context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    await this.#begin();
    const track = this.stream.getAudioTracks()[0];
    track.onended = onEnd;
    this.label = track.label;
    this.rate = this.context.sampleRate;
    this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => onPiece(new Uint8Array(data.bytes), data.peak);
    this.context.createMediaStreamSource(this.stream).connect(this.node);
    await this.#stayAwake();
  }

  /** A page that nobody has clicked may not be allowed to begin. */
  async #begin() {
    await Promise.race([this.context.resume(), new Promise((late) => setTimeout(late, BEGIN_MS))]);
    if (this.context.state !== "running") throw new DOMException("", "NotAllowedError");
  }

  close() {
    for (const track of this.stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    if (this.node) this.node.port.onmessage = null;
    if (this.context?.state !== "closed") this.context?.close();
    this.lock?.release();
  }

  /** A phone that goes to sleep would stop the microphone. */
  async #stayAwake() {
    this.lock = await navigator.wakeLock?.request("screen").catch(() => null);
  }
}

/** Microphones by name; browsers list the names once the page has been allowed to use one. */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId && device.label);
}
