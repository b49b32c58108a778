// The Python module pelton._native: the C interface with Python's types. It waits without the
// interpreter's lock, looks for signals while it does, and turns failures into exceptions of
// pelton.errors. What is nicer than this is written in Python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <pelton.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nb = nanobind;

namespace {

using Clock = std::chrono::steady_clock;

// While a call waits, signals are looked for this often: so long Control-C may go unheard.
constexpr int64_t kSignalsMs = 50;

// A failed call; becomes a Python exception where it leaves the module.
struct Failure {
  pelton_code status;
  std::string message;
};

void Check(pelton_code status) {
  if (status != PELTON_OK) throw Failure{status, pelton_last_error()};
}

// Handles must not be used in a child of the process that made them: its threads are not there.
class Owner {
 public:
  void CheckProcess() const {
    if (::getpid() != pid_) {
      throw Failure{PELTON_INVALID_ARGUMENT,
                    "the model was opened before a fork; open it in the child"};
    }
  }
  bool in_child() const { return ::getpid() != pid_; }

 private:
  const pid_t pid_ = ::getpid();
};

// Texts may hold what is no UTF-8 only by a fault; it must not hide the rest.
nb::str TextOf(const std::string& text) {
  return nb::steal<nb::str>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

struct TokenLogprob {
  int32_t id;
  float logprob;
};

struct CallDelta {
  size_t index;
  std::string id, name, arguments;
};

// A copy of a pelton_event.
struct Event {
  explicit Event(const pelton_event& from)
      : kind(from.kind),
        id(from.id),
        text(from.text, from.text_bytes),
        reasoning(from.reasoning, from.reasoning_bytes),
        logprob(from.logprob),
        position(from.position),
        finish_reason(from.finish_reason),
        status(from.status),
        message(from.message),
        stop_index(from.stop_index),
        prompt_tokens(from.prompt_tokens),
        cached_tokens(from.cached_tokens),
        output_tokens(from.output_tokens),
        queue_ns(from.queue_ns),
        prompt_ns(from.prompt_ns),
        output_ns(from.output_ns) {
    for (size_t i = 0; i < from.num_calls; ++i) {
      const pelton_call_delta& call = from.calls[i];
      calls.push_back({call.index, call.id, call.name, call.arguments});
    }
    for (size_t i = 0; i < from.num_top; ++i) top.push_back({from.top[i].id, from.top[i].logprob});
  }

  int32_t kind, id;
  std::string text, reasoning;
  std::vector<CallDelta> calls;
  float logprob;
  std::vector<TokenLogprob> top;
  size_t position;
  int32_t finish_reason;
  pelton_code status;
  std::string message;
  int32_t stop_index;
  uint64_t prompt_tokens, cached_tokens, output_tokens;
  int64_t queue_ns, prompt_ns, output_ns;
};

// One request. Python's threads share it as they may share a pelton_request.
class Request {
 public:
  explicit Request(pelton_request* handle) : handle_(handle) {}
  ~Request() { Close(); }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // The next event; none if it is not there within the time (below 0: any), or after the finish.
  std::optional<Event> Next(int64_t timeout_ms) {
    owner_.CheckProcess();
    pelton_request* const handle = handle_;
    int64_t left_ms = timeout_ms < 0 ? std::numeric_limits<int64_t>::max() : timeout_ms;
    while (true) {
      const int64_t slice_ms = std::min(left_ms, kSignalsMs);
      std::optional<Event> event;
      pelton_code status;
      Failure failure{};
      {
        const nb::gil_scoped_release released;
        status = Take(handle, slice_ms, &event, &failure);
      }
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
      if (status == PELTON_OK) return event;
      if (status == PELTON_NOT_FOUND) return std::nullopt;
      if (status != PELTON_DEADLINE_EXCEEDED) throw std::move(failure);
      left_ms -= slice_ms;
      if (left_ms <= 0) return std::nullopt;
    }
  }

  // All events from now on, the finish last.
  std::vector<Event> Collect() {
    owner_.CheckProcess();
    pelton_request* const handle = handle_;
    std::vector<Event> events;
    while (true) {
      pelton_code status;
      Failure failure{};
      {
        const nb::gil_scoped_release released;
        const Clock::time_point end = Clock::now() + std::chrono::milliseconds(kSignalsMs);
        std::optional<Event> event;
        do {
          status = Take(handle, kSignalsMs, &event, &failure);
          if (status == PELTON_OK) events.push_back(*std::move(event));
        } while (status == PELTON_OK && Clock::now() < end);
      }
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
      if (status == PELTON_NOT_FOUND) return events;
      if (status != PELTON_OK && status != PELTON_DEADLINE_EXCEEDED) throw std::move(failure);
    }
  }

  int32_t Fd() const {
    owner_.CheckProcess();
    int32_t fd = -1;
    Check(pelton_request_fd(handle_, &fd));
    return fd;
  }

  void Cancel() const {
    owner_.CheckProcess();
    Check(pelton_cancel(handle_));
  }

  void Close() {
    if (handle_ != nullptr && !owner_.in_child()) pelton_request_free(handle_);
    handle_ = nullptr;
  }

 private:
  // Without the interpreter's lock, so `handle` was read before: another thread may close it.
  static pelton_code Take(pelton_request* handle, int64_t timeout_ms, std::optional<Event>* event,
                          Failure* failure) {
    const pelton_event* next = nullptr;
    const pelton_code status = pelton_next(handle, timeout_ms, &next);
    if (status == PELTON_OK) {
      event->emplace(*next);
    } else if (status != PELTON_DEADLINE_EXCEEDED) {
      *failure = {status, pelton_last_error()};
    }
    return status;
  }

  const Owner owner_;
  pelton_request* handle_;
};

struct Info {
  std::string path, architecture, name;
  bool is_encoder, has_tokenizer, has_chat_template;
  uint32_t vocab_size, layers, embedding_width, max_sequences;
  uint64_t context_tokens, weight_bytes, kv_bytes;
};

const char* OrNull(const std::optional<std::string>& text) {
  return text ? text->c_str() : nullptr;
}

class Model {
 public:
  Model(const std::string& model, const std::optional<std::string>& models_folder, uint32_t threads,
        uint32_t context_tokens, uint32_t kv_tokens, uint32_t step_tokens, uint32_t max_sequences,
        uint32_t max_queued, const std::string& numerics, bool invariant,
        const std::string& speculate, const std::optional<std::string>& draft_model,
        bool prefix_cache, const std::string& weights, const std::string& kv_cache_dtype,
        const std::optional<std::string>& packed_cache_folder) {
    pelton_model_options options;
    pelton_model_options_init(&options);
    options.models_folder = OrNull(models_folder);
    options.threads = threads;
    options.context_tokens = context_tokens;
    options.kv_tokens = kv_tokens;
    options.step_tokens = step_tokens;
    options.max_sequences = max_sequences;
    options.max_queued = max_queued;
    options.numerics = numerics.c_str();
    options.invariant = invariant ? 1 : 0;
    options.speculate = speculate.c_str();
    options.draft_model = OrNull(draft_model);
    options.prefix_cache = prefix_cache ? 1 : 0;
    options.weights = weights.c_str();
    options.kv_cache_dtype = kv_cache_dtype.c_str();
    options.packed_cache_folder = OrNull(packed_cache_folder);
    const nb::gil_scoped_release released;
    Check(pelton_open(model.c_str(), &options, &handle_));
  }
  ~Model() { Close(); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Any number of times.
  void Close() {
    pelton_model* const handle = std::exchange(handle_, nullptr);
    if (handle == nullptr || owner_.in_child()) return;
    const nb::gil_scoped_release released;
    pelton_close(handle);
  }

  Info GetInfo() const {
    owner_.CheckProcess();
    pelton_model_info info;
    pelton_model_info_init(&info);
    Check(pelton_get_info(handle_, &info));
    return {info.path,
            info.architecture,
            info.name,
            info.is_encoder != 0,
            info.has_tokenizer != 0,
            info.has_chat_template != 0,
            info.vocab_size,
            info.layers,
            info.embedding_width,
            info.max_sequences,
            info.context_tokens,
            info.weight_bytes,
            info.kv_bytes};
  }

  std::vector<int32_t> Tokenize(const std::string& text, bool add_special,
                                bool parse_special) const {
    owner_.CheckProcess();
    const uint32_t flags = (add_special ? unsigned{PELTON_ADD_SPECIAL} : 0U) |
                           (parse_special ? unsigned{PELTON_PARSE_SPECIAL} : 0U);
    int32_t* ids = nullptr;
    size_t count = 0;
    pelton_model* const handle = handle_;
    const nb::gil_scoped_release released;
    Check(pelton_tokenize(handle, text.data(), text.size(), flags, &ids, &count));
    std::vector<int32_t> copy(ids, ids + count);
    pelton_free(ids);
    return copy;
  }

  nb::str Detokenize(const std::vector<int32_t>& ids, bool keep_special) const {
    owner_.CheckProcess();
    char* text = nullptr;
    size_t bytes = 0;
    Check(pelton_detokenize(handle_, ids.data(), ids.size(),
                            keep_special ? unsigned{PELTON_KEEP_SPECIAL} : 0U, &text, &bytes));
    return Give(text, bytes);
  }

  nb::str RenderChat(const std::string& messages_json, const std::optional<std::string>& tools_json,
                     const std::optional<std::string>& template_args_json,
                     bool add_generation_prompt) const {
    owner_.CheckProcess();
    char* text = nullptr;
    size_t bytes = 0;
    Check(pelton_render_chat(handle_, messages_json.c_str(), OrNull(tools_json),
                             OrNull(template_args_json), add_generation_prompt ? 1 : 0, &text,
                             &bytes));
    return Give(text, bytes);
  }

  Request* Submit(const std::optional<std::string>& prompt,
                  const std::optional<std::vector<int32_t>>& prompt_ids,
                  const std::optional<std::string>& messages_json,
                  const std::optional<std::string>& tools_json, const std::string& tool_choice,
                  bool parallel_tool_calls, const std::optional<std::string>& template_args_json,
                  std::optional<float> temperature, std::optional<float> top_p,
                  std::optional<float> min_p, std::optional<float> typical_p,
                  std::optional<int64_t> top_k, std::optional<float> repetition_penalty,
                  float presence_penalty, float frequency_penalty, int32_t penalty_window,
                  const std::vector<std::pair<int32_t, float>>& logit_bias,
                  std::optional<uint64_t> seed, std::optional<int64_t> max_tokens,
                  uint32_t min_tokens, const std::vector<std::string>& stop,
                  const std::vector<int32_t>& stop_ids, bool ignore_eos,
                  std::optional<int32_t> logprobs, std::optional<int32_t> prompt_logprobs,
                  int32_t constraint, const std::string& constraint_text,
                  const std::string& cache_salt, const std::string& service_class) const {
    owner_.CheckProcess();
    pelton_generate_options options;
    pelton_generate_options_init(&options);
    // An empty list has no address, but it is given.
    static const int32_t kNoIds[1] = {0};
    if (prompt) {
      options.prompt = prompt->data();
      options.prompt_bytes = prompt->size();
    }
    if (prompt_ids) {
      options.prompt_ids = prompt_ids->empty() ? kNoIds : prompt_ids->data();
      options.num_prompt_ids = prompt_ids->size();
    }
    options.messages_json = OrNull(messages_json);
    options.tools_json = OrNull(tools_json);
    options.tool_choice = tool_choice.c_str();
    options.parallel_tool_calls = parallel_tool_calls ? 1 : 0;
    options.template_args_json = OrNull(template_args_json);
    const auto set = [](auto given, auto* field) {
      if (given) *field = *given;
    };
    set(temperature, &options.temperature);
    set(top_p, &options.top_p);
    set(min_p, &options.min_p);
    set(typical_p, &options.typical_p);
    set(top_k, &options.top_k);
    set(repetition_penalty, &options.repetition_penalty);
    options.presence_penalty = presence_penalty;
    options.frequency_penalty = frequency_penalty;
    options.penalty_window = penalty_window;
    std::vector<pelton_logit_bias> biases;
    for (const auto& [id, bias] : logit_bias) biases.push_back({id, bias});
    options.logit_bias = biases.data();
    options.num_logit_bias = biases.size();
    options.has_seed = seed ? 1 : 0;
    options.seed = seed.value_or(0);
    options.max_tokens = max_tokens.value_or(-1);
    options.min_tokens = min_tokens;
    std::vector<const char*> stops;
    for (const std::string& text : stop) stops.push_back(text.c_str());
    options.stop = stops.data();
    options.num_stop = stops.size();
    options.stop_ids = stop_ids.data();
    options.num_stop_ids = stop_ids.size();
    options.ignore_eos = ignore_eos ? 1 : 0;
    set(logprobs, &options.logprobs);
    set(prompt_logprobs, &options.prompt_logprobs);
    options.constraint = constraint;
    options.constraint_text = constraint_text.c_str();
    options.cache_salt = cache_salt.c_str();
    options.service_class = service_class.c_str();
    pelton_request* submitted = nullptr;
    pelton_model* const handle = handle_;
    {
      // It tokenises, and may compile a grammar.
      const nb::gil_scoped_release released;
      Check(pelton_submit(handle, &options, &submitted));
    }
    return new Request(submitted);
  }

  // One list of numbers for each text.
  std::pair<std::vector<std::vector<float>>, uint64_t> Embed(const std::vector<std::string>& texts,
                                                             uint32_t dimensions,
                                                             std::optional<bool> normalize,
                                                             uint32_t truncate_tokens) const {
    owner_.CheckProcess();
    pelton_embed_options options;
    pelton_embed_options_init(&options);
    options.dimensions = dimensions;
    options.truncate_tokens = truncate_tokens;
    if (normalize) options.normalize = *normalize ? 1 : 0;
    std::vector<const char*> starts;
    std::vector<size_t> sizes;
    for (const std::string& text : texts) {
      starts.push_back(text.data());
      sizes.push_back(text.size());
    }
    float* values = nullptr;
    size_t width = 0;
    uint64_t tokens = 0;
    pelton_model* const handle = handle_;
    const nb::gil_scoped_release released;
    Check(pelton_embed(handle, starts.data(), sizes.data(), texts.size(), &options, &values, &width,
                       &tokens));
    std::vector<std::vector<float>> vectors;
    for (size_t i = 0; i < texts.size(); ++i) {
      vectors.emplace_back(values + i * width, values + (i + 1) * width);
    }
    pelton_free(values);
    return {std::move(vectors), tokens};
  }

 private:
  static nb::str Give(char* text, size_t bytes) {
    const std::string copy(text, bytes);
    pelton_free(text);
    return TextOf(copy);
  }

  const Owner owner_;
  pelton_model* handle_ = nullptr;
};

void RaiseFailure(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Failure& failure) {
    const nb::object error = nb::module_::import_("pelton.errors")
                                 .attr("of_status")(failure.status, TextOf(failure.message));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  }
}

}  // namespace

NB_MODULE(_native, module) {
  nb::register_exception_translator(RaiseFailure);
  module.def("version", [] { return std::string(pelton_version()); });

  nb::class_<TokenLogprob>(module, "TokenLogprob")
      .def_ro("id", &TokenLogprob::id)
      .def_ro("logprob", &TokenLogprob::logprob);
  nb::class_<CallDelta>(module, "CallDelta")
      .def_ro("index", &CallDelta::index)
      .def_ro("id", &CallDelta::id)
      .def_ro("name", &CallDelta::name)
      .def_prop_ro("arguments", [](const CallDelta& call) { return TextOf(call.arguments); });
  nb::class_<Event>(module, "Event")
      .def_ro("kind", &Event::kind)
      .def_ro("id", &Event::id)
      .def_prop_ro("text", [](const Event& event) { return TextOf(event.text); })
      .def_prop_ro("reasoning", [](const Event& event) { return TextOf(event.reasoning); })
      .def_ro("calls", &Event::calls)
      .def_ro("logprob", &Event::logprob)
      .def_ro("top", &Event::top)
      .def_ro("position", &Event::position)
      .def_ro("finish_reason", &Event::finish_reason)
      .def_ro("status", &Event::status)
      .def_prop_ro("message", [](const Event& event) { return TextOf(event.message); })
      .def_ro("stop_index", &Event::stop_index)
      .def_ro("prompt_tokens", &Event::prompt_tokens)
      .def_ro("cached_tokens", &Event::cached_tokens)
      .def_ro("output_tokens", &Event::output_tokens)
      .def_ro("queue_ns", &Event::queue_ns)
      .def_ro("prompt_ns", &Event::prompt_ns)
      .def_ro("output_ns", &Event::output_ns);
  nb::class_<Info>(module, "Info", "What a model is.")
      .def_ro("path", &Info::path)
      .def_ro("architecture", &Info::architecture)
      .def_ro("name", &Info::name)
      .def_ro("is_encoder", &Info::is_encoder)
      .def_ro("has_tokenizer", &Info::has_tokenizer)
      .def_ro("has_chat_template", &Info::has_chat_template)
      .def_ro("vocab_size", &Info::vocab_size)
      .def_ro("layers", &Info::layers)
      .def_ro("embedding_width", &Info::embedding_width)
      .def_ro("max_sequences", &Info::max_sequences)
      .def_ro("context_tokens", &Info::context_tokens)
      .def_ro("weight_bytes", &Info::weight_bytes)
      .def_ro("kv_bytes", &Info::kv_bytes);

  nb::class_<Request>(module, "Request")
      .def("next", &Request::Next, nb::arg("timeout_ms") = -1)
      .def("collect", &Request::Collect)
      .def("fd", &Request::Fd)
      .def("cancel", &Request::Cancel)
      .def("close", &Request::Close);

  using namespace nb::literals;  // NOLINT(google-build-using-namespace)
  nb::class_<Model>(module, "Model")
      .def(nb::init<const std::string&, const std::optional<std::string>&, uint32_t, uint32_t,
                    uint32_t, uint32_t, uint32_t, uint32_t, const std::string&, bool,
                    const std::string&, const std::optional<std::string>&, bool, const std::string&,
                    const std::string&, const std::optional<std::string>&>(),
           "model"_a, nb::kw_only(), "models_folder"_a.none(), "threads"_a, "context_tokens"_a,
           "kv_tokens"_a, "step_tokens"_a, "max_sequences"_a, "max_queued"_a, "numerics"_a,
           "invariant"_a, "speculate"_a, "draft_model"_a.none(), "prefix_cache"_a, "weights"_a,
           "kv_cache_dtype"_a, "packed_cache_folder"_a.none())
      .def("close", &Model::Close)
      .def("info", &Model::GetInfo)
      .def("tokenize", &Model::Tokenize, "text"_a, "add_special"_a, "parse_special"_a)
      .def("detokenize", &Model::Detokenize, "ids"_a, "keep_special"_a)
      .def("render_chat", &Model::RenderChat, "messages_json"_a, "tools_json"_a.none(),
           "template_args_json"_a.none(), "add_generation_prompt"_a)
      .def("submit", &Model::Submit, nb::rv_policy::take_ownership, nb::kw_only(),
           "prompt"_a = nb::none(), "prompt_ids"_a = nb::none(), "messages_json"_a = nb::none(),
           "tools_json"_a = nb::none(), "tool_choice"_a = "auto", "parallel_tool_calls"_a = true,
           "template_args_json"_a = nb::none(), "temperature"_a.none(), "top_p"_a.none(),
           "min_p"_a.none(), "typical_p"_a.none(), "top_k"_a.none(), "repetition_penalty"_a.none(),
           "presence_penalty"_a, "frequency_penalty"_a, "penalty_window"_a, "logit_bias"_a,
           "seed"_a.none(), "max_tokens"_a.none(), "min_tokens"_a, "stop"_a, "stop_ids"_a,
           "ignore_eos"_a, "logprobs"_a.none(), "prompt_logprobs"_a.none(), "constraint"_a,
           "constraint_text"_a, "cache_salt"_a, "service_class"_a)
      .def("embed", &Model::Embed, "texts"_a, nb::kw_only(), "dimensions"_a, "normalize"_a.none(),
           "truncate_tokens"_a);
}
