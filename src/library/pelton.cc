// The functions of include/pelton.h: they check handles and pointers, and let nothing be thrown
// out.
#include "pelton.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "library/embed.h"
#include "library/generate_options.h"
#include "library/generation.h"
#include "library/handle_table.h"
#include "library/loaded_model.h"
#include "library/versioned_struct.h"
#include "serving/request/prompt.h"

namespace pelton::library {
namespace {

static_assert(PELTON_OK == static_cast<int>(StatusCode::kOk) &&
              PELTON_INVALID_ARGUMENT == static_cast<int>(StatusCode::kInvalidArgument) &&
              PELTON_NOT_FOUND == static_cast<int>(StatusCode::kNotFound) &&
              PELTON_RESOURCE_EXHAUSTED == static_cast<int>(StatusCode::kResourceExhausted) &&
              PELTON_UNAVAILABLE == static_cast<int>(StatusCode::kUnavailable) &&
              PELTON_DEADLINE_EXCEEDED == static_cast<int>(StatusCode::kDeadlineExceeded) &&
              PELTON_CANCELLED == static_cast<int>(StatusCode::kCancelled) &&
              PELTON_DATA_LOSS == static_cast<int>(StatusCode::kDataLoss) &&
              PELTON_UNIMPLEMENTED == static_cast<int>(StatusCode::kUnimplemented) &&
              PELTON_INTERNAL == static_cast<int>(StatusCode::kInternal));

// Sizes of the structs in version 1 of the interface: programs that were compiled then pass these.
constexpr size_t kModelOptionsV1 = 64;
constexpr size_t kModelInfoV1 = 88;
constexpr size_t kGenerateOptionsV1 = 240;
constexpr size_t kEmbedOptionsV1 = 24;
static_assert(sizeof(pelton_model_options) >= kModelOptionsV1 &&
              sizeof(pelton_model_info) >= kModelInfoV1 &&
              sizeof(pelton_generate_options) >= kGenerateOptionsV1 &&
              sizeof(pelton_embed_options) >= kEmbedOptionsV1);

// Never destroyed: engines' threads may still run when the process ends.
HandleTable<LoadedModel>& Models() {
  static auto* const models = new HandleTable<LoadedModel>;
  return *models;
}
HandleTable<Generation>& Requests() {
  static auto* const requests = new HandleTable<Generation>;
  return *requests;
}

// A handle is a number in a pointer's type, so that the compiler tells the two kinds apart.
template <typename Handle>
Handle* ToHandle(uint64_t number) {
  const auto address = static_cast<uintptr_t>(number);
  return reinterpret_cast<Handle*>(address);  // NOLINT(performance-no-int-to-ptr): never followed
}
template <typename Handle>
uint64_t NumberOf(Handle* handle) {
  return reinterpret_cast<uintptr_t>(handle);
}

std::string& LastError() {
  thread_local std::string message;
  return message;
}

// Runs a function's body, which returns a Status.
template <typename Body>
pelton_code Guarded(Body body) noexcept {
  Status status;
  try {
    status = body();
  } catch (const std::bad_alloc&) {
    status = ResourceExhausted("not enough memory");
  } catch (const std::exception& error) {
    status = Internal(error.what());
  } catch (...) {
    status = Internal("an error of unknown type");
  }
  if (!status.ok()) LastError() = status.message();
  return static_cast<pelton_code>(status.code());
}

template <typename Value>
Status ExpectGiven(const char* name, Value* pointer) {
  if (pointer != nullptr) return OkStatus();
  return InvalidArgument(fmt::format("{}: found NULL", name));
}

Result<std::shared_ptr<LoadedModel>> FindModel(pelton_model* handle) {
  std::shared_ptr<LoadedModel> model = Models().Find(NumberOf(handle));
  if (model == nullptr) return InvalidArgument("model: found no open model's handle");
  return model;
}

Result<std::shared_ptr<LoadedModel>> FindLanguageModel(pelton_model* handle) {
  ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> model, FindModel(handle));
  if (model->language == nullptr) {
    return InvalidArgument(model->path + ": gives embeddings and no text");
  }
  return model;
}

Result<std::shared_ptr<LoadedModel>> FindTokenizer(pelton_model* handle) {
  ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> model, FindModel(handle));
  if (model->tokenizer() == nullptr) {
    return InvalidArgument(model->path + ": the model has no tokenizer");
  }
  return model;
}

Result<std::shared_ptr<Generation>> FindRequest(pelton_request* handle) {
  std::shared_ptr<Generation> request = Requests().Find(NumberOf(handle));
  if (request == nullptr) return InvalidArgument("request: found no request's handle");
  return request;
}

// A copy that pelton_free frees.
template <typename Value>
Result<Value*> CopyOut(std::span<const Value> values, bool end_with_nul = false) {
  const size_t count = values.size() + (end_with_nul ? 1 : 0);
  auto* const copy = static_cast<Value*>(std::calloc(std::max<size_t>(count, 1), sizeof(Value)));
  if (copy == nullptr) return ResourceExhausted("not enough memory");
  std::copy(values.begin(), values.end(), copy);
  return copy;
}

Status GiveText(const std::string& from, char** text, size_t* text_bytes) {
  ASSIGN_OR_RETURN(char* const copy, CopyOut<char>(from, true));
  *text = copy;
  if (text_bytes != nullptr) *text_bytes = from.size();
  return OkStatus();
}

Result<std::shared_ptr<Generation>> Start(pelton_model* handle,
                                          const pelton_generate_options* given) {
  ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> model, FindLanguageModel(handle));
  RETURN_IF_ERROR(ExpectGiven("options", given));
  pelton_generate_options options;
  RETURN_IF_ERROR(ReadStruct("pelton_generate_options", given, kGenerateOptionsV1,
                             pelton_generate_options_init, &options));
  return Generation::Start(std::move(model), options);
}

// Makes a request known by a handle. Whoever closes its model afterwards finds it.
pelton_request* AddRequest(const std::shared_ptr<Generation>& request) {
  const uint64_t number = Requests().Add(request);
  if (request->model().closed) request->Cancel();
  return ToHandle<pelton_request>(number);
}

// Forgets a handle when it goes, even if a callback threw.
class HandleLife {
 public:
  explicit HandleLife(pelton_request* handle) : handle_(handle) {}
  ~HandleLife() { Requests().Remove(NumberOf(handle_)); }
  HandleLife(const HandleLife&) = delete;
  HandleLife& operator=(const HandleLife&) = delete;

 private:
  pelton_request* const handle_;
};

}  // namespace
}  // namespace pelton::library

using namespace pelton;           // NOLINT(google-build-using-namespace)
using namespace pelton::library;  // NOLINT(google-build-using-namespace)

extern "C" {

const char* pelton_code_name(pelton_code status) {
  if (status < PELTON_OK || status > PELTON_INTERNAL) return "unknown";
  return StatusCodeName(static_cast<StatusCode>(status)).data();
}

const char* pelton_last_error(void) { return LastError().c_str(); }

const char* pelton_version(void) { return PELTON_VERSION; }

uint32_t pelton_abi_version(void) { return PELTON_ABI_VERSION; }

void pelton_free(void* memory) { std::free(memory); }

pelton_code pelton_open(const char* model, const pelton_model_options* options,
                        pelton_model** opened) {
  return Guarded([&]() -> Status {
    RETURN_IF_ERROR(ExpectGiven("model", model));
    RETURN_IF_ERROR(ExpectGiven("opened", opened));
    pelton_model_options read;
    RETURN_IF_ERROR(ReadStruct("pelton_model_options", options, kModelOptionsV1,
                               pelton_model_options_init, &read));
    ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> loaded, OpenLoadedModel(model, read));
    *opened = ToHandle<pelton_model>(Models().Add(std::move(loaded)));
    return OkStatus();
  });
}

pelton_code pelton_close(pelton_model* model) {
  return Guarded([&]() -> Status {
    if (model == nullptr) return OkStatus();
    const std::shared_ptr<LoadedModel> closed = Models().Remove(NumberOf(model));
    if (closed == nullptr) return InvalidArgument("model: found no open model's handle");
    closed->closed = true;
    for (const std::shared_ptr<Generation>& request : Requests().All()) {
      if (&request->model() == closed.get()) request->Cancel();
    }
    return OkStatus();
  });
}

pelton_code pelton_get_info(pelton_model* model, pelton_model_info* info) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> found, FindModel(model));
    RETURN_IF_ERROR(ExpectGiven("info", info));
    return FillStruct("pelton_model_info", InfoOf(*found), kModelInfoV1, info);
  });
}

pelton_code pelton_tokenize(pelton_model* model, const char* text, size_t text_bytes,
                            uint32_t flags, int32_t** ids, size_t* num_ids) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> found, FindTokenizer(model));
    RETURN_IF_ERROR(ExpectGiven("text", text));
    RETURN_IF_ERROR(ExpectGiven("ids", ids));
    RETURN_IF_ERROR(ExpectGiven("num_ids", num_ids));
    const std::vector<int32_t> encoded = found->tokenizer()->Encode(
        TextOf(text, text_bytes), {.parse_special = (flags & PELTON_PARSE_SPECIAL) != 0,
                                   .add_special = (flags & PELTON_ADD_SPECIAL) != 0});
    ASSIGN_OR_RETURN(*ids, CopyOut<int32_t>(encoded));
    *num_ids = encoded.size();
    return OkStatus();
  });
}

pelton_code pelton_detokenize(pelton_model* model, const int32_t* ids, size_t num_ids,
                              uint32_t flags, char** text, size_t* text_bytes) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> found, FindTokenizer(model));
    if (num_ids > 0) RETURN_IF_ERROR(ExpectGiven("ids", ids));
    RETURN_IF_ERROR(ExpectGiven("text", text));
    const bool keep_special = (flags & PELTON_KEEP_SPECIAL) != 0;
    return GiveText(found->tokenizer()->Decode({ids, num_ids}, !keep_special), text, text_bytes);
  });
}

pelton_code pelton_render_chat(pelton_model* model, const char* messages_json,
                               const char* tools_json, const char* template_args_json,
                               int32_t add_generation_prompt, char** text, size_t* text_bytes) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> found, FindLanguageModel(model));
    RETURN_IF_ERROR(ExpectGiven("messages_json", messages_json));
    RETURN_IF_ERROR(ExpectGiven("text", text));
    ASSIGN_OR_RETURN(const std::string rendered,
                     RenderChat(*found->language, messages_json, tools_json, template_args_json,
                                add_generation_prompt != 0));
    return GiveText(rendered, text, text_bytes);
  });
}

pelton_code pelton_generate(pelton_model* model, const pelton_generate_options* options,
                            pelton_callback callback, void* user) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Generation> request, Start(model, options));
    pelton_request* const handle = AddRequest(request);
    const HandleLife life(handle);
    return request->Follow(callback, user, handle);
  });
}

pelton_code pelton_submit(pelton_model* model, const pelton_generate_options* options,
                          pelton_request** submitted) {
  return Guarded([&]() -> Status {
    RETURN_IF_ERROR(ExpectGiven("submitted", submitted));
    ASSIGN_OR_RETURN(const std::shared_ptr<Generation> request, Start(model, options));
    *submitted = AddRequest(request);
    return OkStatus();
  });
}

pelton_code pelton_next(pelton_request* request, int64_t timeout_ms, const pelton_event** event) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Generation> found, FindRequest(request));
    RETURN_IF_ERROR(ExpectGiven("event", event));
    return found->Next(timeout_ms, event);
  });
}

pelton_code pelton_request_fd(pelton_request* request, int32_t* fd) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Generation> found, FindRequest(request));
    RETURN_IF_ERROR(ExpectGiven("fd", fd));
    ASSIGN_OR_RETURN(*fd, found->Descriptor());
    return OkStatus();
  });
}

pelton_code pelton_cancel(pelton_request* request) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Generation> found, FindRequest(request));
    found->Cancel();
    return OkStatus();
  });
}

pelton_code pelton_request_free(pelton_request* request) {
  return Guarded([&]() -> Status {
    if (request == nullptr) return OkStatus();
    const std::shared_ptr<Generation> freed = Requests().Remove(NumberOf(request));
    if (freed == nullptr) return InvalidArgument("request: found no request's handle");
    // A thread that waits for an event gets the finish.
    freed->Cancel();
    return OkStatus();
  });
}

pelton_code pelton_embed(pelton_model* model, const char* const* texts, const size_t* sizes,
                         size_t num_texts, const pelton_embed_options* options, float** vectors,
                         size_t* width, uint64_t* num_tokens) {
  return Guarded([&]() -> Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> found, FindModel(model));
    RETURN_IF_ERROR(ExpectGiven("texts", texts));
    RETURN_IF_ERROR(ExpectGiven("vectors", vectors));
    RETURN_IF_ERROR(ExpectGiven("width", width));
    pelton_embed_options read;
    RETURN_IF_ERROR(ReadStruct("pelton_embed_options", options, kEmbedOptionsV1,
                               pelton_embed_options_init, &read));
    ASSIGN_OR_RETURN(const EmbeddingResult result, Embed(*found, {texts, num_texts}, sizes, read));
    ASSIGN_OR_RETURN(*vectors, CopyOut<float>(result.values));
    *width = result.width;
    if (num_tokens != nullptr) *num_tokens = result.tokens;
    return OkStatus();
  });
}

}  // extern "C"
