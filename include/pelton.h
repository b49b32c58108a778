// Pelton as a library: language models and encoders on the CPU, for C and everything that calls C.
// docs/library.md is the guide, examples/c/chat.c a whole program.
//
// Threads. Every function may be called from any thread at any time, two at once for the same
// handle too; the one exception, pelton_next, says so. No code of the caller's runs on a thread of
// the library: callbacks run inside the call that was given them. A process that has opened a model
// must not fork and go on in the child.
//
// Handles are checked. One that was closed, was never given, or is of the other kind is
// PELTON_INVALID_ARGUMENT, not a crash. Closing waits for nobody: calls in progress on other
// threads finish or end with PELTON_CANCELLED.
//
// Texts are UTF-8; bytes that are not count as U+FFFD. A text comes with its size in bytes, or with
// PELTON_WHOLE if a NUL ends it. What the library gives is NUL-terminated as well.
//
// Structs of the caller's begin with struct_size, which their _init function sets with the default
// of every field. So a program goes on with a later library of the same soname, whose structs may
// have grown; and a struct with newer fields that are in use is refused by an older library.
//
// The library prints nothing, installs no signal handler, changes no locale and lets no C++
// exception out. A failed call leaves its results as they were.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define PELTON_API __attribute__((visibility("default")))
#else
#define PELTON_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Grows with every addition to this header. The library's own is pelton_abi_version().
#define PELTON_ABI_VERSION 3

// As a size: up to the NUL.
#define PELTON_WHOLE ((size_t)-1)

typedef struct pelton_model pelton_model;
typedef struct pelton_request pelton_request;

// --- Errors

typedef int32_t pelton_code;
enum {
  PELTON_OK = 0,
  PELTON_INVALID_ARGUMENT = 1,  // the message names the field, what was found and what is expected
  PELTON_NOT_FOUND = 2,         // a model; or no further event
  PELTON_RESOURCE_EXHAUSTED = 3,  // memory, or a prompt beyond the context
  PELTON_UNAVAILABLE = 4,         // too many requests wait; try again later
  PELTON_DEADLINE_EXCEEDED = 5,   // nothing happened in time
  PELTON_CANCELLED = 6,
  PELTON_DATA_LOSS = 7,      // a model file is damaged
  PELTON_UNIMPLEMENTED = 8,  // valid, but this build does not support it
  PELTON_INTERNAL = 9
};

// "invalid argument", ...; "unknown" for any other number. Never freed.
PELTON_API const char* pelton_code_name(pelton_code status);

// One sentence about the last call on this thread that failed, "" before one has. Valid until the
// next call on this thread that fails.
PELTON_API const char* pelton_last_error(void);

// "0.1.0". Never freed.
PELTON_API const char* pelton_version(void);
PELTON_API uint32_t pelton_abi_version(void);

// Frees what a function below gave through a pointer to a pointer, handles excepted. NULL is fine.
PELTON_API void pelton_free(void* memory);

// --- Models

typedef struct pelton_model_options {
  size_t struct_size;
  const char* models_folder;  // where models are kept by name; NULL: the user's store
  uint32_t threads;           // that compute; 0: one for each core
  uint32_t context_tokens;    // longest sequence; 0: what model and memory allow
  uint32_t kv_tokens;       // of the KV cache; 0: contexts for all sequences, up to half the memory
  uint32_t step_tokens;     // most rows of one step; longer prompts run in chunks
  uint32_t max_sequences;   // that run at once, in one continuous batch
  uint32_t max_queued;      // requests that wait beside them; further ones are PELTON_UNAVAILABLE
  const char* numerics;     // "fast", or "exact" for fp32 throughout
  const char* speculate;    // guess next tokens, check them: "ngram", "mtp", "draft", "off", "auto"
  int32_t invariant;        // 0: the fastest kernels, whose results may depend on the batch
  int32_t prefix_cache;     // 0: prompts with a common start share nothing
  const char* draft_model;  // a smaller model with the same vocabulary, which guesses; NULL: none
  const char* weights;  // in memory: "stored" as in the file, or "w8" for 8 bits, faster prompts
  const char* kv_cache_dtype;       // "f32", "f16", "q8", "fp8", "auto"
  const char* packed_cache_folder;  // keeps packed weights for later calls; NULL: none
} pelton_model_options;

static inline void pelton_model_options_init(pelton_model_options* options) {
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->step_tokens = 512;
  options->max_sequences = 32;
  options->max_queued = 1u << 20;
  options->numerics = "fast";
  options->speculate = "auto";
  options->invariant = 1;
  options->prefix_cache = 1;
  options->weights = "stored";
  options->kv_cache_dtype = "auto";
}

// Opens a language model or an encoder and makes it ready: a GGUF file, a folder as Hugging Face
// lays it out, or a name in the store. `options` may be NULL. Takes up to some seconds.
PELTON_API pelton_code pelton_open(const char* model, const pelton_model_options* options,
                                   pelton_model** opened);

// Ends the model's requests with PELTON_CANCELLED; their handles stay good for pelton_next until
// they are freed, and the model's memory is given back with the last of them. NULL is fine.
PELTON_API pelton_code pelton_close(pelton_model* model);

typedef struct pelton_model_info {
  size_t struct_size;
  const char* path;           // the texts live as long as the model is open
  const char* architecture;   // "llama", "qwen3", "bert", ...
  const char* name;           // for people; may be ""
  int32_t is_encoder;         // embeds, and generates nothing
  int32_t has_tokenizer;      // else it takes and gives token ids only
  int32_t has_chat_template;  // takes messages
  uint32_t vocab_size;        // ids lie below
  uint32_t layers;
  uint32_t embedding_width;  // numbers of an embedding; 0 if it is no encoder
  uint64_t context_tokens;   // the longest sequence, or the longest text of an encoder
  uint32_t max_sequences;    // 0 for an encoder
  uint64_t weight_bytes;     // packed weights in memory
  uint64_t kv_bytes;         // of the KV cache, taken as it is used
} pelton_model_info;

// Fills in as much as info->struct_size says.
PELTON_API pelton_code pelton_get_info(pelton_model* model, pelton_model_info* info);

static inline void pelton_model_info_init(pelton_model_info* info) {
  memset(info, 0, sizeof *info);
  info->struct_size = sizeof *info;
}

// --- Text and tokens

enum {
  PELTON_ADD_SPECIAL = 1,    // add what the model expects around a text, as BOS
  PELTON_PARSE_SPECIAL = 2,  // "<|im_end|>" is that token, else ordinary text
  PELTON_KEEP_SPECIAL = 4    // detokenize: control tokens show as text, else they are left out
};

// Text to token ids, which are freed with pelton_free. `flags`: PELTON_ADD_SPECIAL,
// PELTON_PARSE_SPECIAL.
PELTON_API pelton_code pelton_tokenize(pelton_model* model, const char* text, size_t text_bytes,
                                       uint32_t flags, int32_t** ids, size_t* num_ids);

// Token ids to text, freed with pelton_free. `flags`: PELTON_KEEP_SPECIAL. `text_bytes`, without
// the NUL at the end, may be NULL.
PELTON_API pelton_code pelton_detokenize(pelton_model* model, const int32_t* ids, size_t num_ids,
                                         uint32_t flags, char** text, size_t* text_bytes);

// The prompt that the model's chat template makes of messages: a JSON list of objects with role and
// content, as OpenAI's interface has them. `tools_json`, a list, and `template_args_json`, an
// object of further variables for the template, may be NULL. `add_generation_prompt`: the answer's
// beginning follows. Tokenize it with PELTON_PARSE_SPECIAL.
PELTON_API pelton_code pelton_render_chat(pelton_model* model, const char* messages_json,
                                          const char* tools_json, const char* template_args_json,
                                          int32_t add_generation_prompt, char** text,
                                          size_t* text_bytes);

// --- Generation

typedef struct pelton_logit_bias {
  int32_t id;
  float bias;  // added to the logit, -100 to 100
} pelton_logit_bias;

// What the output must be.
enum {
  PELTON_ANY_TEXT = 0,
  PELTON_JSON_OBJECT = 1,  // any JSON object; constraint_text is unused
  PELTON_JSON_SCHEMA = 2,
  PELTON_REGEX = 3,
  PELTON_CHOICE = 4,         // a JSON list of texts, one of which is the output
  PELTON_GRAMMAR = 5,        // GBNF as llama.cpp reads it
  PELTON_STRUCTURAL_TAG = 6  // XGrammar's, as JSON
};

// The sampling fields are those of docs/serving.md, with the same ranges. NAN and -1: what the
// model's authors advise, else what changes nothing; a temperature that nobody advises is 0.
typedef struct pelton_generate_options {
  size_t struct_size;

  // Exactly one of these three is the prompt.
  const char* prompt;  // a text, continued as it is
  size_t prompt_bytes;
  const int32_t* prompt_ids;
  size_t num_prompt_ids;
  const char* messages_json;  // a chat, as pelton_render_chat takes it

  // Only with messages.
  const char* tools_json;          // NULL: none
  const char* tool_choice;         // "auto", "none", "required", or the name of a tool
  int32_t parallel_tool_calls;     // 0: at most one call
  const char* template_args_json;  // NULL: none

  float temperature;  // below 0.001: the most probable token
  float top_p;
  float min_p;
  float typical_p;
  int64_t top_k;  // 0: all
  float repetition_penalty;
  float presence_penalty;
  float frequency_penalty;
  int32_t penalty_window;  // tokens that penalties look back; -1: all
  const pelton_logit_bias* logit_bias;
  size_t num_logit_bias;
  int32_t has_seed;  // 0: another seed for each request
  uint64_t seed;

  int64_t max_tokens;  // -1: until the context is full
  uint32_t min_tokens;
  const char* const* stop;  // texts that end the output and are no part of it
  size_t num_stop;
  const int32_t* stop_ids;
  size_t num_stop_ids;
  int32_t ignore_eos;

  int32_t logprobs;         // so many alternatives of each token; 0: its own only; -1: none
  int32_t prompt_logprobs;  // the same for the prompt

  int32_t constraint;           // PELTON_JSON_SCHEMA, ...
  const char* constraint_text;  // its schema, expression or grammar

  const char* cache_salt;     // only requests of equal salts share cached prefixes; NULL: ""
  const char* service_class;  // "realtime", "standard", "batch", "background"
} pelton_generate_options;

static inline void pelton_generate_options_init(pelton_generate_options* options) {
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->prompt_bytes = PELTON_WHOLE;
  options->tool_choice = "auto";
  options->parallel_tool_calls = 1;
  options->temperature = NAN;
  options->top_p = NAN;
  options->min_p = NAN;
  options->typical_p = NAN;
  options->top_k = -1;
  options->repetition_penalty = NAN;
  options->penalty_window = 64;
  options->max_tokens = 1024;
  options->logprobs = -1;
  options->prompt_logprobs = -1;
  options->service_class = "standard";
}

enum {
  PELTON_EVENT_PROMPT_TOKEN = 1,  // only with prompt_logprobs, from the prompt's second token on
  PELTON_EVENT_TOKEN = 2,
  PELTON_EVENT_FINISH = 3  // the last one, always
};

enum {
  PELTON_FINISH_STOP = 1,    // an end token, a stop id or a stop text
  PELTON_FINISH_LENGTH = 2,  // max_tokens, or the context is full
  PELTON_FINISH_CANCELLED = 3,
  PELTON_FINISH_DEADLINE = 4,
  PELTON_FINISH_ERROR = 5
};

typedef struct pelton_token_logprob {
  int32_t id;
  float logprob;  // natural logarithm, of the model's own distribution
} pelton_token_logprob;

// A part of a tool call that the model makes. All parts of one index, joined, are one call.
typedef struct pelton_call_delta {
  size_t index;           // of the call, from 0
  const char* id;         // in a call's first part, where the model gave one; else ""
  const char* name;       // in a call's first part; else ""
  const char* arguments;  // JSON text to append
} pelton_call_delta;

// Text comes as it becomes certain, in whole characters: with a token, with a later one, or with
// the finish. Without messages, all of it is `text`.
typedef struct pelton_event {
  size_t struct_size;
  int32_t kind;

  int32_t id;  // of the token; of a finish: the end token or stop id that came last, or -1
  const char* text;
  size_t text_bytes;
  const char* reasoning;  // what a model that reasons thinks first
  size_t reasoning_bytes;
  const pelton_call_delta* calls;
  size_t num_calls;

  float logprob;  // 0 unless asked for
  const pelton_token_logprob* top;
  size_t num_top;
  size_t position;  // of a prompt's token, from 1

  // Of a finish.
  int32_t finish_reason;
  pelton_code status;   // PELTON_OK for stop and length
  const char* message;  // why it is not
  int32_t stop_index;   // in `stop`, of the text that was found, or -1
  uint64_t prompt_tokens;
  uint64_t cached_tokens;  // of the prompt, not computed anew
  uint64_t output_tokens;
  int64_t queue_ns;   // until the first step
  int64_t prompt_ns;  // until the first token
  int64_t output_ns;  // from the first token to the last
} pelton_event;

// Gets every event, the finish too, inside pelton_generate and on its thread. The event is valid
// during the call. Another value than 0 ends the request; then no further event comes. May call
// every function, and take its time: other requests go on.
typedef int32_t (*pelton_callback)(void* user, pelton_request* request, const pelton_event* event);

// Generates, and returns when the request has ended: PELTON_OK for stop and length,
// PELTON_CANCELLED after pelton_cancel or if the callback ended it, else why it failed. `callback`
// may be NULL, which is good only for filling the prefix cache.
PELTON_API pelton_code pelton_generate(pelton_model* model, const pelton_generate_options* options,
                                       pelton_callback callback, void* user);

// Starts a request and returns at once. Its events wait for pelton_next. Nothing of `options` is
// used after the call.
PELTON_API pelton_code pelton_submit(pelton_model* model, const pelton_generate_options* options,
                                     pelton_request** submitted);

// The request's next event, which is valid until the next call for this request. Waits up to
// `timeout_ms` (0: not at all; below 0: as long as it takes); then PELTON_DEADLINE_EXCEEDED.
// PELTON_NOT_FOUND after the finish. One thread at a time for one request: a second one is
// PELTON_INVALID_ARGUMENT.
PELTON_API pelton_code pelton_next(pelton_request* request, int64_t timeout_ms,
                                   const pelton_event** event);

// A descriptor that is readable as long as pelton_next would not wait, for poll, epoll and event
// loops. The request's own: neither read nor close it; it is gone with pelton_request_free.
PELTON_API pelton_code pelton_request_fd(pelton_request* request, int32_t* fd);

// Ends a request soon; its finish says PELTON_FINISH_CANCELLED unless it had ended before. Any
// number of times.
PELTON_API pelton_code pelton_cancel(pelton_request* request);

// Forgets a request, which ends it if it runs. NULL is fine.
PELTON_API pelton_code pelton_request_free(pelton_request* request);

// --- Embeddings

typedef struct pelton_embed_options {
  size_t struct_size;
  uint32_t dimensions;       // the first so many numbers of each vector; 0: all
  int32_t normalize;         // to a length of 1; -1: as the model's files say
  uint32_t truncate_tokens;  // longer texts are cut to so many tokens; 0: they are refused
} pelton_embed_options;

static inline void pelton_embed_options_init(pelton_embed_options* options) {
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->normalize = -1;
}

// One vector for each text, of an encoder: vectors[i * width + d], freed with pelton_free. `sizes`
// holds the bytes of each text; NULL: NULs end them. `options` may be NULL; `num_tokens`, of all
// texts, too. Waits until all are there.
PELTON_API pelton_code pelton_embed(pelton_model* model, const char* const* texts,
                                    const size_t* sizes, size_t num_texts,
                                    const pelton_embed_options* options, float** vectors,
                                    size_t* width, uint64_t* num_tokens);

#ifdef __cplusplus
}
#endif
