/**
 * How many different things there are, from a sample in which some were met once, some twice, and some not at all.
 *
 * Messages are drawn with a share s. A part that k messages have is met j times with probability Bin(j; k, s), and
 * not at all with (1−s)^k. Neither "as many as were met" nor "met / s" is right: the one leaves out what was not
 * met, the other takes everything for unique. So the numbers of parts that one, two, three … messages have are
 * fitted to what was met, by maximum likelihood (the iteration known as Richardson–Lucy, or EM), and the parts not
 * met are read off them. The sum is linear in what was met, so bytes can stand for numbers.
 */

/** Met so often: then others like it are hardly missing. */
export const SIGHTINGS_MAX = 24;

/** More would follow chance in the sample rather than what is behind it. */
const ROUNDS = 300;

/**
 * @param met - [j]: how many things (or bytes of them) were met j times, j from 1; the last one: that often or more.
 * @param share - above 0, at most 1.
 */
export function estimateDistinct(met: Float64Array, share: number): number {
  const seen = countSeen(met);
  if (share >= 1 || seen === 0) return seen;
  const multiplicities = gridOf(share);
  const likelihoods = multiplicities.map((k) => likelihoodsOf(k, share));
  // Begins at "most occur once": where the sample cannot tell, repetition is not taken for granted.
  const fitted = multiplicities.map((k) => seen / (share * k * k));
  const ratios = new Float64Array(SIGHTINGS_MAX);
  for (let round = 0; round < ROUNDS; round++) {
    for (let j = 1; j < SIGHTINGS_MAX; j++) {
      let expected = 0;
      for (let i = 0; i < fitted.length; i++)
        expected += (fitted[i] as number) * (likelihoods[i]?.[j] as number);
      ratios[j] = expected > 0 ? (met[j] ?? 0) / expected : 0;
    }
    for (let i = 0; i < fitted.length; i++) {
      const likelihood = likelihoods[i] as Float64Array;
      let factor = 0;
      let visible = 0;
      for (let j = 1; j < SIGHTINGS_MAX; j++) {
        factor += (ratios[j] as number) * (likelihood[j] as number);
        visible += likelihood[j] as number;
      }
      fitted[i] = visible > 1e-12 ? ((fitted[i] as number) * factor) / visible : 0;
    }
  }
  return fitted.reduce((sum, count, i) => sum + count * (likelihoods[i]?.[0] as number), seen);
}

/** How many there are at least. */
export function countSeen(met: Float64Array): number {
  let seen = 0;
  for (let j = 1; j <= SIGHTINGS_MAX; j++) seen += met[j] ?? 0;
  return seen;
}

/** 1, 2, 3, 4, then about a fifth more each time, until being met less than `SIGHTINGS_MAX` times would be odd. */
function gridOf(share: number): number[] {
  const grid = [1];
  for (let k = 2; k < (3 * SIGHTINGS_MAX) / share; k = Math.max(k + 1, Math.round(k * 1.2))) grid.push(k);
  return grid;
}

/** [j]: the probability that something of multiplicity k is met j times, below `SIGHTINGS_MAX`. */
function likelihoodsOf(k: number, share: number): Float64Array {
  const likelihoods = new Float64Array(SIGHTINGS_MAX);
  let logChoose = 0;
  for (let j = 0; j < SIGHTINGS_MAX && j <= k; j++) {
    if (j > 0) logChoose += Math.log((k - j + 1) / j);
    likelihoods[j] = Math.exp(logChoose + j * Math.log(share) + (k - j) * Math.log1p(-share));
  }
  return likelihoods;
}
