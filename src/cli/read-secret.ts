/** Reads a line from a terminal without showing it. */

import { StringDecoder } from "node:string_decoder";
import type { ReadStream } from "node:tty";
import { CyrvaultError } from "../base/errors.ts";

type Keyboard = Pick<ReadStream, "setRawMode" | "on" | "off" | "resume" | "pause">;

const CTRL_C = "\x03";
const CTRL_D = "\x04";
const CTRL_U = "\x15";
const ERASE = new Set(["\b", "\x7f"]);

export function readSecret(
  question: string,
  keyboard: Keyboard,
  screen: { write(text: string): unknown },
): Promise<string> {
  screen.write(question);
  return new Promise((resolve, reject) => {
    const decoder = new StringDecoder("utf8");
    let typed: string[] = [];
    const finish = (settle: () => void) => {
      keyboard.off("data", onData);
      keyboard.setRawMode(false);
      keyboard.pause();
      screen.write("\n");
      settle();
    };
    const onData = (bytes: Buffer) => {
      for (const key of decoder.write(bytes)) {
        if (key === "\r" || key === "\n" || key === CTRL_D) return finish(() => resolve(typed.join("")));
        if (key === CTRL_C)
          return finish(() =>
            reject(new CyrvaultError("INTERRUPTED", "interrupted while asking for a password")),
          );
        if (key === CTRL_U) typed = [];
        else if (ERASE.has(key)) typed.pop();
        else if (key >= " ") typed.push(key);
      }
    };
    keyboard.setRawMode(true);
    keyboard.on("data", onData);
    keyboard.resume();
  });
}
