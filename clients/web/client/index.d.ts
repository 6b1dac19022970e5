import type {
  AnswerMessage,
  AssignMessage,
  Config,
  MergeMessage,
  Model,
  NameMessage,
  RevisionMessage,
  ServerMessage,
  SpeakerMessage,
  StartMessage,
  Statistics,
  Talk,
  TurnMessage,
  UndoMessage,
} from "./messages.js";

export * from "./messages.js";

/** open: audio flows. lost: it is kept, and the connection tried again. ended: `final` came. failed: that was it. */
export type ConnectionState = "open" | "lost" | "ended" | "failed";

export interface Handlers {
  /** Every message of the server, once and in order. */
  message(message: ServerMessage): void;
  /** `sentence` says why, for people to read; empty or missing where all is well. */
  state(state: ConnectionState, sentence?: string): void;
}

/** What a user asks besides having audio heard; the `id` is given by what sends it. */
export type Request =
  | Omit<NameMessage, "id">
  | Omit<MergeMessage, "id">
  | Omit<AssignMessage, "id">
  | Omit<UndoMessage, "id">;

/** One session over a websocket that may disconnect: audio is kept until the server has it, and the session resumed. */
export class Connection {
  /** @param session the id of a session that an earlier connection began, to come back to it. */
  constructor(
    url: string,
    start: Omit<StartMessage, "type" | "version" | "session" | "seq" | "position">,
    on: Handlers,
    session?: string | null,
  );
  /** The id of the session; null before the server has answered. */
  readonly session: string | null;
  /** Seconds of audio taken so far. */
  readonly position: number;
  /** Seconds of audio not sent yet. */
  readonly waiting: number;
  /** Takes audio in the encoding of `start`, cut anywhere. */
  send(bytes: Uint8Array): void;
  /** Says who a speaker is; null takes the name away. take: even from another speaker who has it. */
  name(speaker: string, name: string | null, take?: boolean): number;
  /** Says that two speakers are one person, `into`. */
  merge(speaker: string, into: string): number;
  /** Says whose a turn is: a speaker's, or "new" for somebody not known so far. */
  assign(turn: string, speaker: string): number;
  /** Takes back the last merge or assign that stands. */
  undo(): number;
  /** Asks one of these four; like them, gives the id of the `answer` message that says what became of it. */
  ask(request: Request): number;
  /** The audio has ended; the final result follows. */
  stop(): void;
  /** Resolves once the server has answered, or once the session is over: audio goes on from `position`. */
  opened(): Promise<void>;
  /** Resolves once all audio has been sent, or once the session is over. */
  drained(): Promise<void>;
}

export interface Turn extends Omit<TurnMessage, "type" | "seq" | "name"> {
  /** Speakers it had before, oldest first. */
  was: (string | null)[];
}

export interface KnownSpeaker {
  id: string;
  name: string | null;
  confidence: number | null;
  into: string | null;
}

export interface RevisionRecord {
  turns: string[];
  from: string | null;
  to: string | null;
  reason: string;
  at: number;
}

/** The state of a session so far, built from the server's messages alone. Times are seconds of the stream. */
export class Transcript {
  /** The transcript that `toJSON` gave. */
  static from(stored: ReturnType<Transcript["toJSON"]>): Transcript;
  readonly turns: Map<string, Turn>;
  readonly speakers: Map<string, KnownSpeaker>;
  readonly revisions: RevisionRecord[];
  /** null until the end. */
  readonly final: { reason: string; duration: number; speakers: Talk[]; statistics: Statistics | null } | null;
  /** The newest time that any message refers to. */
  readonly horizon: number;
  /** How many turns belong to others in the final result. */
  readonly corrected: number;
  /** How often speech went from one speaker to another, the end included. */
  readonly corrections: number;
  /** Applies one message; returns the ids of the turns it changed. */
  apply(message: ServerMessage | Omit<RevisionMessage | SpeakerMessage | AnswerMessage, "seq">): string[];
  /** How to call a speaker: the name, else the id; null is the unknown speaker. */
  label(speaker: string | null): string;
  /** Speakers who have turns, in order of appearance; the unknown one (null) last. */
  talkers(): (string | null)[];
  /** Seconds that a speaker talked. */
  talkOf(speaker: string | null): number;
  /** The turns at a time. */
  at(time: number): Turn[];
  /** Turns in order of time. */
  inOrder(): Turn[];
  /** Everything as plain values, to store it. */
  toJSON(): {
    turns: Turn[];
    speakers: KnownSpeaker[];
    revisions: RevisionRecord[];
    corrected: number;
    final: Transcript["final"];
    horizon: number;
  };
}

/** Corrections of a transcript that is over, as a server makes them of a session. */
export class Edits {
  constructor(transcript: Transcript);
  /** How many corrections can be taken back. */
  readonly count: number;
  /** What changes by a request: messages to apply, the answer last. */
  ask(request: Request): Omit<RevisionMessage | SpeakerMessage | AnswerMessage, "seq">[];
}

/** Audio on its way to the server, kept until the server has it. */
export class SendBuffer {
  /** @param frameBytes bytes of one sample of all channels; positions are in bytes. */
  constructor(frameBytes: number);
  readonly start: number;
  readonly sent: number;
  readonly end: number;
  readonly kept: number;
  readonly unsent: number;
  /** Forgets everything: the audio that follows begins at this sample. */
  begin(samples: number): void;
  append(bytes: Uint8Array): void;
  /** The next piece to send, of up to `most` bytes; null if everything was sent. */
  take(most: number): Uint8Array | null;
  /** The server has this many samples: drops them. */
  acknowledge(samples: number): void;
  /** Continues sending after this many samples. False if that is not possible. */
  rewind(samples: number): boolean;
}

export type Format = "rttm" | "json" | "srt" | "vtt" | "csv" | "txt" | "audacity";

export interface Recording {
  /** Without a file's ending. */
  name: string;
  title?: string;
  config?: Config;
  model?: Model;
}

/** What each format is called, the ending of its files and its media type. */
export const FORMATS: Record<Format, { name: string; ending: string; type: string }>;

/** The turns as the text of a file. Speakers go by their names where they have one. */
export function formatted(format: Format, transcript: Transcript, recording: Recording): string;

/** Number of a speaker or turn, 3 for `S3`; 0 for the unknown speaker (null). */
export function numberOf(id: string | null): number;

/** A message from the server as a sentence: `Expected a token.` for `expected a token`. */
export function sentence(text: string): string;
