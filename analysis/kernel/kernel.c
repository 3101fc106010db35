// The reader of texts as one WebAssembly module: the twin of analysis/reading.py, to the last bit.
//
// It works on one chunk of texts at a time, in memory that the host lays out once (struct Plan):
// no allocation, no call out, no state between chunks. Every array has a capacity that `read`
// checks, and every loop is bounded by the length of a text.
// Each step names the Python function that it repeats; the comments there say why.
#include <stdint.h>
#include <wasm_simd128.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t i32;
typedef uint64_t u64;
typedef int64_t i64;
typedef double f64;

enum { SPACE, LETTER, DIGIT, MARK, EMOJI, IGNORABLE, IDEOGRAPH };
enum { CASED = 1, UPPER = 2, ENDS = 4, CLOSES = 8, QUOTE = 16, STYLE = 32 };
enum { LIMIT = 0x20000, TAGS_FIRST = 0xE0000, TAGS_LAST = 0xE0FFF };
enum { UNITS_MAX = 64, LABELS_MAX = 32, COLUMNS_MAX = 96, SCRIPTS_MAX = 64 };
enum { TEXT_MAX = 8193, FEATURES_MAX = 6 * TEXT_MAX + 64 };
enum { RUN_MAX = 3, POWERS = 64, LATIN_LAST = 0x24F, STAND_IN_LETTERS_MAX = 24, REACH_MAX = 3 };
enum { TANH_STEPS = 512, TANH_END = 8 * 512, EXP_STEPS = 512, EXP_END = 16 * 512 };
enum { LOGIT_SHIFT = 22 };  // 2^31 to one, counted in 1 / EXP_STEPS
enum { NEGATOR_SLOTS = 1024 };

static const u64 A = 0xBF58476D1CE4E5B9u, B = 0x94D049BB133111EBu, G = 0x9E3779B97F4A7C15u;
enum { SALT_BEGIN = 1, SALT_END, SALT_LENGTH, SALT_CAPITALS, SALT_STRETCHED, SALT_NEGATED = 14 };

typedef struct {
  u32 fold, bare;
  u8 kind, flags, script, unused;
} Character;

typedef struct {
  u64 hash;
  u8 after, before, either, used;
  u32 unused;
} Negator;

// Written by the host once: where each table lies, and the model's sizes.
typedef struct {
  u32 characters, buckets, starts, weights, stride, scales, offsets, heads, biases, shifts;
  u32 tanhs, exps, negators, lengths, of_model;
  u32 units, sentiments, emotions, languages, columns;
  u32 input, input_bounds, bare, codes, bounds, scores, facts;
  u32 texts_max, codes_max;
  u32 scripts, script_zh, script_ja, rare_count;
  u32 rare[8], rare_host[8], script_code[SCRIPTS_MAX];
  f64 language_sure, few_letters_doubt, script_share_min, rare_share_min;
} Plan;

static Plan plan;
static u64 powers[POWERS];

static u32 plain_of[TEXT_MAX], code_of[TEXT_MAX];
static u8 kind_of[TEXT_MAX], flags_of[TEXT_MAX], inside_of[TEXT_MAX], same_of[TEXT_MAX];
static u64 letters[TEXT_MAX], words[TEXT_MAX + 2], stream[TEXT_MAX + 1];
static u8 breaks[TEXT_MAX + 2], negated[TEXT_MAX + 2];
static u64 hashes[FEATURES_MAX];
static u32 rows[FEATURES_MAX];

#define AT(type, offset) ((type *)(uintptr_t)(plan.offset))

__attribute__((export_name("plan"))) u32 plan_address(void) { return (u32)(uintptr_t)&plan; }
__attribute__((export_name("plan_bytes"))) u32 plan_bytes(void) { return sizeof(Plan); }
__attribute__((export_name("start"))) void start(void) {
  u64 power = 1;
  for (int i = 0; i < POWERS; i++) powers[i] = power *= G;
}

static inline u64 mixed(u64 v) {
  v *= A;
  v ^= v >> 31;
  return v * B;
}

static inline u64 finished(u64 v) {
  v ^= v >> 29;
  v *= A;
  return v ^ (v >> 32);
}

static inline u64 salt(int number) { return (u64)(number + 1) * G; }

// text.encode, past the regular expressions. Returns the text's length; the last is the separator.
static i32 lay(const u32 *points, i32 count, u32 *bare, u32 *codes, u8 *pictured) {
  const Character *known = AT(Character, characters);
  i32 length = 0;
  for (i32 i = 0; i < count; i++) {
    u32 point = points[i], plain = point < LIMIT ? point : LIMIT;
    const Character *c = &known[plain];
    if (c->kind == EMOJI || (c->flags & STYLE)) *pictured = 1;
    if (c->kind == IGNORABLE || (point >= TAGS_FIRST && point <= TAGS_LAST)) continue;
    plain_of[length] = plain;
    code_of[length] = codes[length] = c->fold;
    kind_of[length] = c->kind;
    flags_of[length] = c->flags;
    bare[length++] = c->kind == EMOJI ? plain : c->bare;
  }
  return length;
}

// text.word_letters
static void mark_inside(i32 length) {
  for (i32 i = 0; i < length; i++) {
    u8 kind = kind_of[i];
    u8 inside = kind == LETTER || kind == DIGIT || kind == IDEOGRAPH;
    if (kind == MARK && (flags_of[i] & QUOTE) && i > 0 && i < length - 1)
      inside = kind_of[i - 1] == LETTER && kind_of[i + 1] == LETTER;
    inside_of[i] = inside;
  }
}

// language.own_letters: how often a text holds one of the two stand-ins.
static i32 stand_ins(const u32 *points, i32 count) {
  i32 found = 0;
  for (i32 i = 0; i + 3 < count; i++) {
    const u32 *p = points + i;
    if (p[0] == 'h' && p[1] == 't' && p[2] == 't' && p[3] == 'p')
      found++;
    else if (p[0] == '@' && i + 4 < count && p[1] == 'u' && p[2] == 's' && p[3] == 'e' && p[4] == 'r')
      found++;
  }
  return found;
}

// language.by_script: 1 and *language if the script decides.
static int by_script(i32 length, i32 letters_count, u32 *language) {
  const Character *known = AT(Character, characters);
  i32 counts[SCRIPTS_MAX] = {0}, foreign = 0;
  for (i32 i = 0; i < length; i++) {
    if ((kind_of[i] != LETTER && kind_of[i] != IDEOGRAPH) || plain_of[i] <= LATIN_LAST) continue;
    foreign++;
    u32 script = known[plain_of[i]].script;
    if (script) counts[script - 1]++;
  }
  if (!foreign || (f64)foreign < plan.script_share_min * (f64)letters_count) return 0;
  u8 out[SCRIPTS_MAX] = {0};
  if (counts[plan.script_ja]) {
    counts[plan.script_ja] += counts[plan.script_zh];
    out[plan.script_zh] = 1;
  }
  for (u32 r = 0; r < plan.rare_count; r++) {
    u32 rare = plan.rare[r], host = plan.rare_host[r];
    out[rare] = 1;
    counts[host] += counts[rare];
    if ((f64)counts[rare] > plan.rare_share_min * (f64)counts[host]) {
      counts[rare] = counts[host];
      counts[host] = 0;
    } else {
      counts[rare] = -1;
    }
  }
  i32 best = -1;
  u32 chosen = 0;
  for (u32 s = 0; s < plan.scripts; s++)
    if (!out[s] && counts[s] > best) best = counts[chosen = s];
  for (u32 r = 0; r < plan.rare_count; r++)
    if (counts[plan.rare[r]] > best) best = counts[chosen = plan.rare[r]];
  *language = best > 0 ? plan.script_code[chosen] : 0;
  return 1;
}

static const Negator *negator(u64 hash) {
  const Negator *table = AT(Negator, negators);
  for (u32 slot = hash >> 54;; slot = (slot + 1) & (NEGATOR_SLOTS - 1)) {
    if (!table[slot].used) return 0;
    if (table[slot].hash == hash) return &table[slot];
  }
}

// features.negated
static void mark_negated(i32 count) {
  static const Negator *found[TEXT_MAX + 2];
  static i32 at[TEXT_MAX + 2];
  i32 hits = 0;
  for (i32 i = 0; i < count; i++) negated[i] = 0;
  for (i32 i = 1; i < count - 1; i++) {
    const Negator *n = negator(words[i]);
    if (!n) continue;
    found[hits] = n;
    at[hits++] = i;
  }
  for (i32 h = 0; h < hits; h++)
    if (!found[h]->after && !found[h]->before) breaks[at[h]] = 1;
  for (i32 h = 0; h < hits; h++) {
    i32 i = at[h], after = found[h]->after, before = found[h]->before;
    if (found[h]->either) {
      if (breaks[i + 1])
        after = 0;
      else
        before = 0;
    }
    for (i32 k = 1; k <= after && !breaks[i + k]; k++) negated[i + k] = 1;
    for (i32 k = 1; k <= before && !breaks[i - k]; k++) negated[i - k] = 1;
  }
}

// features._tokens: every word's hash, framed; returns their number with the frame.
static i32 tokenise(i32 length) {
  i32 count = 0;
  words[count] = salt(SALT_BEGIN);
  breaks[count++] = 1;
  i32 i = 0;
  while (i < length) {
    u8 kind = kind_of[i], inside = inside_of[i];
    if (inside && kind == IDEOGRAPH) {
      words[count] = mixed(letters[i++] * powers[0]);
      breaks[count++] = 0;
    } else if (inside) {
      u64 sum = 0;
      i32 first = i;
      for (; i < length && inside_of[i] && kind_of[i] != IDEOGRAPH; i++) {
        i32 place = i - first;
        sum += letters[i] * powers[place < POWERS ? place : POWERS - 1];
      }
      words[count] = mixed(sum);
      breaks[count++] = 0;
    } else if (kind == MARK || kind == EMOJI) {
      u64 sum = 0;
      i32 first = i;
      do {
        if (i - first < RUN_MAX) sum += letters[i] * powers[i - first];
        i++;
      } while (i < length && same_of[i] && !inside_of[i] && (kind_of[i] == MARK || kind_of[i] == EMOJI));
      words[count] = mixed(sum);
      breaks[count++] = 1;
    } else {
      i++;
    }
  }
  words[count] = salt(SALT_END);
  breaks[count++] = 1;
  return count;
}

// features.extract; returns the number of features, and the text's tokens.
static i32 extract(i32 length, i32 *tokens) {
  i32 capitals = 0, kept = 0;
  u8 drawled = 0, was_capital = 0, was_same = 0;
  u32 previous = 0;
  for (i32 i = 0; i < length; i++) {
    u32 code = code_of[i];
    u8 same = i > 0 && code == previous, kind = kind_of[i];
    u8 capital = (flags_of[i] & UPPER) && inside_of[i];
    capitals += capital && was_capital;
    was_capital = capital;
    u8 stretched = same && was_same && kind == LETTER;
    was_same = same;
    previous = code;
    if (stretched) {
      drawled = 1;
      continue;
    }
    kind_of[kept] = kind;
    inside_of[kept] = inside_of[i];
    same_of[kept] = same;
    letters[kept++] = mixed((u64)code + G);
  }
  i32 count = tokenise(kept), features = 0;
  mark_negated(count);
  for (i32 i = 0; i < count; i++)
    hashes[features++] = negated[i] ? words[i] ^ salt(SALT_NEGATED) : words[i];
  for (i32 i = 0; i + 1 < count; i++) hashes[features++] = mixed(words[i] * powers[1] + words[i + 1]);
  for (i32 i = 0; i + 2 < count; i++) hashes[features++] = mixed(words[i] * powers[2] + words[i + 2]);
  // features._ngrams: a zero stands for a word's boundary.
  i32 size = 0;
  stream[size++] = 0;
  for (i32 i = 0; i < kept; i++) {
    if (inside_of[i])
      stream[size++] = letters[i];
    else if (i > 0 && inside_of[i - 1])
      stream[size++] = 0;
  }
  for (i32 j = 0; j + 2 < size; j++) {
    if (!stream[j + 1]) continue;
    u64 hash = (stream[j] * G + stream[j + 1]) * G + stream[j + 2];
    hashes[features++] = mixed(hash + salt(3));
    if (!stream[j + 2]) continue;
    hash = hash * G + stream[j + 3];
    hashes[features++] = mixed(hash + salt(4));
    if (!stream[j + 3]) continue;
    hashes[features++] = mixed(hash * G + stream[j + 4] + salt(5));
  }
  *tokens = count - 2;
  const u8 *length_of = AT(u8, lengths);
  hashes[features++] = mixed(length_of[*tokens < 255 ? *tokens : 255] + salt(SALT_LENGTH));
  if (capitals > 2) hashes[features++] = salt(SALT_CAPITALS);
  if (drawled) hashes[features++] = salt(SALT_STRETCHED);
  return features;
}

// model.Table.find: the rows of the known features.
static i32 find(i32 features) {
  const u64 *buckets = AT(u64, buckets);
  const u32 *starts = AT(u32, starts);
  i32 known = 0;
  for (i32 i = 0; i < features; i++) {
    u64 hash = finished(hashes[i]);
    u32 bucket = hash >> 47, print = (hash >> 31) & 0xFFFF;
    u64 word = buckets[bucket], wanted = print ? print : 1;
    u64 differs = word ^ (wanted * 0x0001000100010001u);
    u64 marks = (differs - 0x0001000100010001u) & ~differs & 0x8000800080008000u;
    rows[known] = starts[bucket] + (marks ? (u32)__builtin_ctzll(marks) >> 4 : 0);
    known += marks != 0;
  }
  return known;
}

// model.Model._sums: 48 columns at a time. 256 weights of 8 bits fit into 16 bits of a sum.
static void sum_rows(i32 known, i32 *sums) {
  const signed char *weights = AT(signed char, weights);
  u32 stride = plan.stride;
  for (u32 column = 0; column < plan.columns; column += 3 * 16) {
    const signed char *base = weights + column;
    v128_t totals[12];
    for (int k = 0; k < 12; k++) totals[k] = wasm_i32x4_splat(0);
    for (i32 first = 0; first < known; first += 256) {
      i32 last = first + 256 < known ? first + 256 : known;
      v128_t parts[6];
      for (int k = 0; k < 6; k++) parts[k] = wasm_i16x8_splat(0);
      for (i32 i = first; i < last; i++) {
        const signed char *row = base + rows[i] * stride;
        for (int k = 0; k < 3; k++) {
          v128_t lane = wasm_v128_load(row + 16 * k);
          parts[2 * k] = wasm_i16x8_add(parts[2 * k], wasm_i16x8_extend_low_i8x16(lane));
          parts[2 * k + 1] = wasm_i16x8_add(parts[2 * k + 1], wasm_i16x8_extend_high_i8x16(lane));
        }
      }
      for (int k = 0; k < 6; k++) {
        totals[2 * k] = wasm_i32x4_add(totals[2 * k], wasm_i32x4_extend_low_i16x8(parts[k]));
        totals[2 * k + 1] = wasm_i32x4_add(totals[2 * k + 1], wasm_i32x4_extend_high_i16x8(parts[k]));
      }
    }
    for (int k = 0; k < 12; k++) wasm_v128_store(sums + column + 4 * k, totals[k]);
  }
}

// model._softmax
static void softmax(const i64 *steps, u32 count, f64 *out) {
  const i32 *exps = AT(i32, exps);
  i64 top = steps[0], total = 0, weights[LABELS_MAX];
  for (u32 i = 1; i < count; i++)
    if (steps[i] > top) top = steps[i];
  for (u32 i = 0; i < count; i++) {
    i64 below = top - steps[i];
    total += weights[i] = exps[below < EXP_END ? below : EXP_END];
  }
  for (u32 i = 0; i < count; i++) out[i] = (f64)weights[i] / (f64)total;
}

// model.Model.values, languages and moods, with reading._languages between them
static u32 judge(i32 features, i32 known, int scripted, u32 language, i32 letters, f64 *scores) {
  i32 sums[COLUMNS_MAX];
  f64 values[COLUMNS_MAX];
  i64 hidden[UNITS_MAX], steps[LABELS_MAX];
  sum_rows(known, sums);
  const f64 *scales = AT(f64, scales), *offsets = AT(f64, offsets);
  f64 root = __builtin_sqrt((f64)(features > 1 ? features : 1));
  for (u32 c = 0; c < plan.columns; c++) values[c] = (f64)sums[c] * scales[c] / root + offsets[c];

  if (!scripted) {
    f64 table[LABELS_MAX];
    for (u32 l = 0; l < plan.languages; l++)
      steps[l] = (i64)__builtin_rint(values[plan.units + l] * EXP_STEPS);
    softmax(steps, plan.languages, table);
    u32 best = 0;
    for (u32 l = 1; l < plan.languages; l++)
      if (table[l] > table[best]) best = l;
    f64 needed = plan.language_sure + plan.few_letters_doubt / (f64)(letters > 1 ? letters : 1);
    language = letters > 0 && table[best] >= needed ? AT(u32, of_model)[best] : 0;
  }

  const i32 *tanhs = AT(i32, tanhs);
  for (u32 u = 0; u < plan.units; u++) {
    f64 step = __builtin_rint(values[u] * TANH_STEPS);
    step = step < -TANH_END ? -TANH_END : step > TANH_END ? TANH_END : step;
    hidden[u] = tanhs[(i32)step + TANH_END];
  }
  u32 labels = plan.sentiments + plan.emotions;
  const i64 *heads = AT(i64, heads), *biases = AT(i64, biases);
  const i64 *shifts = AT(i64, shifts) + language * plan.sentiments;
  for (u32 l = 0; l < labels; l++) {
    i64 logit = biases[l] + (l < plan.sentiments ? shifts[l] : 0);
    for (u32 u = 0; u < plan.units; u++) logit += hidden[u] * heads[u * labels + l];
    steps[l] = logit >> LOGIT_SHIFT;
  }
  softmax(steps, plan.sentiments, scores);
  softmax(steps + plan.sentiments, plan.emotions, scores + plan.sentiments);
  return language;
}

enum { FACTS = 4, CAPITALISED = 1, PUNCTUATED = 2, HAS_CASE = 4, PICTURED = 8 };

// text.surface
static u32 surface(i32 length, i32 *words_count, i32 *letters_count) {
  u32 seen = 0;
  i32 count = 0, letters_seen = 0, last = -1;
  for (i32 i = 0; i < length; i++) {
    u8 kind = kind_of[i], inside = inside_of[i];
    count += (inside && !(i > 0 && inside_of[i - 1])) || kind == IDEOGRAPH;
    if (kind == LETTER || kind == IDEOGRAPH) {
      if (!letters_seen++)
        seen |= (flags_of[i] & UPPER ? CAPITALISED : 0) | (flags_of[i] & CASED ? HAS_CASE : 0);
    }
    if (kind != SPACE && kind != EMOJI && !(kind == MARK && (flags_of[i] & CLOSES))) last = i;
  }
  if (last >= 0 && (flags_of[last] & ENDS)) seen |= PUNCTUATED;
  *words_count = count;
  *letters_count = letters_seen;
  return seen;
}

// Reads `texts` texts; 0, or 1 + the index of one that does not fit.
__attribute__((export_name("read"))) u32 read(u32 texts) {
  if (texts > plan.texts_max) return 1;
  const u32 *input = AT(u32, input), *edges = AT(u32, input_bounds);
  u32 *bare = AT(u32, bare), *codes = AT(u32, codes), *bounds = AT(u32, bounds);
  f64 *scores = AT(f64, scores);
  i32 *facts = AT(i32, facts);
  u32 labels = plan.sentiments + plan.emotions, laid = 0;
  bounds[0] = 0;
  for (u32 t = 0; t < texts; t++) {
    u32 first = edges[t], last = edges[t + 1];
    if (last < first || last > plan.codes_max || last - first > TEXT_MAX) return 1 + t;
    i32 points = (i32)(last - first), tokens, words_count, letters_count;
    u8 pictured = 0;
    i32 length = lay(input + first, points, bare + laid, codes + laid, &pictured);
    bounds[t + 1] = laid += (u32)length;
    mark_inside(length);
    u32 seen = surface(length, &words_count, &letters_count) | (pictured ? PICTURED : 0);
    u32 language = 0;
    int scripted = by_script(length, letters_count, &language);
    i32 own_letters = letters_count;
    if (letters_count && letters_count <= STAND_IN_LETTERS_MAX)
      own_letters -= 4 * stand_ins(input + first, points);
    i32 features = extract(length, &tokens);
    i32 known = find(features);
    language = judge(features, known, scripted, language, own_letters, scores + t * labels);
    facts[FACTS * t] = (i32)language;
    facts[FACTS * t + 1] = tokens;
    facts[FACTS * t + 2] = words_count;
    facts[FACTS * t + 3] = (i32)seen;
  }
  return 0;
}
