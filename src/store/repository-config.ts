/** cyrvault.json. Format: docs/formats/repository.md. */
import { toHex } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import { BLOCK_BYTES_TARGET, PACK_BYTES_TARGET } from "./pack-types.ts";
import type { Sealer } from "./sealer.ts";

export const CONFIG_NAME = "cyrvault.json";
export const PUT_CONFIG_BACK = "put the file back from any copy of this repository: it never changes";
export const CONFIG_BYTES_MAX = 65_536;
export const REPOSITORY_ID_BYTES = 16;
const FORMAT = "cyrvault repository";
const VERSION = 1;
const MAC_PURPOSE = "repository";

export interface RepositoryConfig {
  /** Hex. */
  readonly id: string;
  readonly created: string;
  readonly encrypted: boolean;
  /** What writers aim at: names to integers. A reader needs none of them. */
  readonly parameters: Readonly<Record<string, number>>;
  /** Additions to the format, by name, without which one cannot read, or must not write. */
  readonly features: RepositoryFeatures;
  readonly mac: string;
}

export interface RepositoryFeatures {
  readonly read: readonly string[];
  readonly write: readonly string[];
}

/** There are keys that may only write: what their holders store counts for nobody's deduplication but their own. */
export const WRITE_ONLY_KEYS = "write-only-keys";
const KNOWN_FOR_WRITING: readonly string[] = [WRITE_ONLY_KEYS];

export const NO_FEATURES: RepositoryFeatures = { read: [], write: [] };

export const DEFAULT_PARAMETERS: Readonly<Record<string, number>> = {
  blockBytes: BLOCK_BYTES_TARGET,
  packBytes: PACK_BYTES_TARGET,
};

/** @param sealer - makes the MAC. */
export function encodeConfig(config: Omit<RepositoryConfig, "mac">, sealer: Sealer): Buffer {
  const mac = toHex(sealer.mac(MAC_PURPOSE, print({ ...config, mac: "" })));
  return print({ ...config, mac });
}

/**
 * What can be checked without a key.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `REPOSITORY_VERSION`.
 */
export function decodeConfig(bytes: Buffer): RepositoryConfig {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw damaged("not JSON", cause);
  }
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  if (fields["format"] !== FORMAT) throw damaged("not the file of a cyrvault repository");
  if (fields["version"] !== VERSION)
    throw new CyrvaultError(
      "REPOSITORY_VERSION",
      `the repository has format version ${String(fields["version"])}, this cyrvault knows ${VERSION}`,
      { hint: "use the version of cyrvault that made it, or a newer one" },
    );
  const { id, created, objectIds, sealing, parameters, features, mac } = fields;
  const encrypted = sealing === "aes-256-gcm" && objectIds === "hmac-sha-256";
  if (!encrypted && !(sealing === "none" && objectIds === "sha-256"))
    throw damaged("an unknown combination of objectIds and sealing");
  if (typeof id !== "string" || !/^[0-9a-f]{32}$/.test(id) || typeof created !== "string")
    throw damaged("a field is lacking");
  if (typeof mac !== "string" || !/^[0-9a-f]{64}$/.test(mac)) throw damaged("no MAC");
  if (!isParameters(parameters)) throw damaged("parameters are names and integers");
  if (!isFeatures(features)) throw damaged("features are two lists of names");
  const { read, write } = features;
  const config = { id, created, encrypted, parameters, features: { read, write }, mac };
  if (!print(config).equals(bytes)) throw damaged("not as it was written");
  if (read.length > 0) throw unknownFeatures(read);
  return config;
}

/** Whether this is the key, or without a key the checksum, that the file was made with. */
export function isConfigOf(config: RepositoryConfig, sealer: Sealer): boolean {
  return sealer.isMac(MAC_PURPOSE, print({ ...config, mac: "" }), Buffer.from(config.mac, "hex"));
}

function print(config: RepositoryConfig): Buffer {
  const { id, created, encrypted, parameters, features, mac } = config;
  const fields = {
    format: FORMAT,
    version: VERSION,
    id,
    created,
    objectIds: encrypted ? "hmac-sha-256" : "sha-256",
    sealing: encrypted ? "aes-256-gcm" : "none",
    parameters,
    features,
    mac,
  };
  return Buffer.from(`${JSON.stringify(fields, null, 2)}\n`, "utf8");
}

function isParameters(value: unknown): value is Record<string, number> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((n) => typeof n === "number" && Number.isSafeInteger(n) && n >= 0);
}

function isFeatures(value: unknown): value is RepositoryFeatures {
  if (typeof value !== "object" || value === null) return false;
  const { read, write } = value as Record<string, unknown>;
  const isNames = (names: unknown) =>
    Array.isArray(names) && names.every((name) => typeof name === "string" && /^[a-z0-9-]{1,64}$/.test(name));
  return isNames(read) && isNames(write);
}

/** @throws {CyrvaultError} `REPOSITORY_VERSION`: this version could do harm by writing. */
export function checkWritable(config: RepositoryConfig): void {
  const unknown = config.features.write.filter((name) => !KNOWN_FOR_WRITING.includes(name));
  if (unknown.length > 0) throw unknownFeatures(unknown);
}

function unknownFeatures(names: readonly string[]): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_VERSION",
    `the repository uses what this version of cyrvault does not know: ${names.join(", ")}`,
    { hint: "use a newer version" },
  );
}

function damaged(why: string, cause?: unknown): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", `${CONFIG_NAME} is damaged: ${why}`, {
    cause,
    hint: PUT_CONFIG_BACK,
  });
}
