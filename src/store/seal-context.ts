/**
 * What it takes to name, seal and open things of one repository: a plain value, so that it can be handed to a
 * worker thread by structured clone. Where it comes from: keys.ts. What is done with it: object-id.ts, seal.ts.
 */

export const SECRET_BYTES = 32;
export const WRITER_ID_BYTES = 16;

/** Numbers begin at 1 and never come again. The highest is the one that writers use. */
export interface Epoch {
  readonly number: number;
  /** Wraps the keys of packs and manifests. */
  readonly contentKey: Uint8Array;
  /** X25519 private key. Without it what was sealed to its public half stays shut. */
  readonly agreementKey?: Uint8Array;
}

/** What is sealed to it cannot be opened with it. */
export interface AgreementHalf {
  /** Of the epoch. */
  readonly number: number;
  /** X25519. */
  readonly publicKey: Uint8Array;
}

export interface KeyedSealContext {
  readonly encrypted: true;
  /** Keys the ObjectIds, for the repository's life. */
  readonly idKey: Uint8Array;
  /** Seals pack directories and segments, and makes the MAC of cyrvault.json. */
  readonly indexKey: Uint8Array;
  /** Of who may read: at least one. Of who may only write: none. */
  readonly epochs: readonly Epoch[];
  /** Of who may only write: whom to seal to. */
  readonly sealTo?: AgreementHalf;
  /**
   * Random, never written. From it come the keys of what this process seals to `sealTo`: so it can compare what it has
   * written, until it ends.
   */
  readonly recall?: Uint8Array;
  /**
   * Random, kept by this machine outside of the repository. From it come the keys of what the next run has to know of this
   * one: manifest roots, their pages, stored indexes. Without it the next run knows nothing.
   */
  readonly remembered?: Uint8Array;
  /** 16 bytes: who writes. Stands in clear in each pack's header. */
  readonly writerId: Uint8Array;
}

export type SealContext = { readonly encrypted: false } | KeyedSealContext;

export const UNENCRYPTED: SealContext = { encrypted: false };
