#include "serving/ollama/store_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "serving/model/model_store.h"
#include "serving/ollama/ollama_docs.h"
#include "serving/ollama/ollama_error.h"
#include "serving/ollama/ollama_request.h"
#include "serving/request/body_fields.h"
#include "serving/tenant/admission.h"

namespace pelton {
namespace {

constexpr size_t kMostPulls = 4;  // at once

// "hf:USER/REPO:QUANT" of that, of "hf.co/USER/REPO:QUANT" and of "huggingface.co/…", as clients of
// Ollama's write it; empty for anything else, addresses among them.
std::string HubNameOf(std::string_view asked) {
  for (const std::string_view prefix : {"hf:", "hf.co/", "huggingface.co/"}) {
    if (!asked.starts_with(prefix)) continue;
    return "hf:" + std::string(asked.substr(prefix.size()));
  }
  return "";
}

void ReadName(FieldReader& reader, std::string* name) {
  reader.String("model", name);
  reader.String("name", name);
  if (name->empty()) reader.Fail("model", "the name of a model");
}

Json ProgressJson(const HubFile& file, uint64_t done) {
  Json line = {{"status", "pulling " + file.name}};
  if (!file.sha256.empty()) line["digest"] = "sha256:" + file.sha256;
  if (file.bytes > 0) line["total"] = file.bytes;
  line["completed"] = done;
  return line;
}

}  // namespace

StoreRoutes::~StoreRoutes() {
  stopping_.store(true);
  std::vector<std::unique_ptr<Pull>> pulls;
  {
    const MutexLock lock(mutex_);
    pulls = std::move(pulls_);
  }
  for (const auto& pull : pulls) pull->thread.join();
}

RouteSet StoreRoutes::Routes() {
  RouteSet set{.root = "/api/", .errors = &OllamaErrorBody, .docs = StoreDocs()};
  const auto add = [&](const char* method, const char* path,
                       void (StoreRoutes::*answer)(const ApiCall&)) {
    set.routes.push_back({.method = method,
                          .path = path,
                          .intake = true,
                          .answer = [this, answer](const ApiCall& call) {
                            if (Allowed(call)) (this->*answer)(call);
                          }});
  };
  add("POST", "/api/pull", &StoreRoutes::AnswerPull);
  add("POST", "/api/copy", &StoreRoutes::AnswerCopy);
  add("DELETE", "/api/delete", &StoreRoutes::AnswerDelete);
  for (const char* path : {"/api/create", "/api/push"}) {
    set.routes.push_back(
        {.method = "POST", .path = path, .intake = true, .answer = [path](const ApiCall& call) {
           call.Fail({.status = 403,
                      .message = fmt::format("{} is not supported: models are files, which "
                                             "/api/pull or `pelton pull` fetches",
                                             path)});
         }});
  }
  return set;
}

bool StoreRoutes::Allowed(const ApiCall& call) const {
  if (!call.admission->MayAdminister()) {
    call.Fail({.status = 403, .message = "the key may not change what is served"});
    return false;
  }
  if (access_.pool != nullptr) return true;
  call.Fail({.status = 403,
             .message = "the server does not change its models; start it with --manage-store"});
  return false;
}

void StoreRoutes::AnswerPull(const ApiCall& call) {
  std::string asked;
  bool stream = true, insecure = false;
  const auto error = ReadBody(call.request->body, [&](FieldReader& reader) {
    ReadName(reader, &asked);
    reader.Bool("stream", &stream);
    reader.Bool("insecure", &insecure);
    if (insecure) reader.Fail("insecure", "false");
    if (HubNameOf(asked).empty()) reader.Fail("model", "hf.co/USER/REPO:QUANT");
  });
  if (error) return call.Fail(*error);
  const MutexLock lock(mutex_);
  std::erase_if(pulls_, [](const std::unique_ptr<Pull>& pull) {
    if (!pull->over.load()) return false;
    pull->thread.join();
    return true;
  });
  if (stopping_.load() || pulls_.size() >= kMostPulls) {
    return call.Fail({.status = 503, .message = "other models are being fetched; try again later"});
  }
  pulls_.reserve(kMostPulls);
  auto pull = std::make_unique<Pull>();
  pull->thread = std::thread([this, call, asked, stream, over = &pull->over] {
    // Memory that is not there ends the pull, not the server.
    try {
      Fetch(call, asked, stream);
    } catch (const std::bad_alloc&) {
      call.response->Abort();
    }
    over->store(true);
  });
  pulls_.push_back(std::move(pull));
}

void StoreRoutes::Fetch(const ApiCall& call, const std::string& asked, bool stream) {
  HttpResponse& response = *call.response;
  const auto line = [&](const Json& json) {
    if (stream) response.Write(ToText(json) + "\n");
  };
  if (stream) response.BeginStream(200, {{"Content-Type", "application/x-ndjson"}}, "");
  line({{"status", "pulling manifest"}});
  PullOptions options = access_.pull;
  options.folder = access_.folder;
  options.quiet = true;
  std::string last_file;
  uint64_t last_part = 0;
  options.progress = [&](const HubFile& file, uint64_t done) {
    // A line for each percent, or for 16 MiB where the size is not known.
    const uint64_t part = done / std::max<uint64_t>(file.bytes / 100, uint64_t{1} << 20);
    if (file.name != last_file || part != last_part || done == file.bytes) {
      line(ProgressJson(file, done));
    }
    last_file = file.name;
    last_part = part;
    return !stopping_.load() && !response.closed();
  };
  const Result<std::string> path = PullModel(HubNameOf(asked), options);
  Status status = path.status();
  if (status.ok()) {
    line({{"status", "verifying sha256 digest"}});
    status = Serve(*path, asked);
  }
  if (status.ok()) {
    if (!stream) return SendJson(response, ToText({{"status", "success"}}));
    line({{"status", "success"}});
    return response.End();
  }
  const ApiError error = ApiErrorOf(status);
  if (!stream) return call.Fail(error);
  response.Write(call.errors(error) + "\n");
  response.Abort();
}

// Serves what was fetched under its name in the store and the one it was asked for by.
Status StoreRoutes::Serve(const std::string& path, const std::string& asked) {
  for (const StoredModel& stored : ListStore(access_.folder)) {
    if (stored.path != path) continue;
    ApiError known;
    const std::string served = access_.pool->Resolve(stored.name, ModelKind::kLanguage, &known);
    if (!served.empty()) return OkStatus();
    return ServeStored(stored.name, stored.path, {asked});
  }
  return Internal("what was fetched is not in the store");
}

Status StoreRoutes::ServeStored(const std::string& name, const std::string& path,
                                std::vector<std::string> aliases) {
  ASSIGN_OR_RETURN(PooledModel model, access_.declare(name, path));
  std::erase(aliases, name);
  model.called = {.name = name, .aliases = std::move(aliases)};
  return access_.pool->Add(std::move(model));
}

void StoreRoutes::AnswerCopy(const ApiCall& call) {
  std::string source, destination;
  const auto error = ReadBody(call.request->body, [&](FieldReader& reader) {
    reader.String("source", &source);
    reader.String("destination", &destination);
    if (source.empty()) reader.Fail("source", "the name of a model");
  });
  if (error) return call.Fail(*error);
  const Result<StoredModel> copy = CopyInStore(access_.folder, WithoutLatest(std::move(source)),
                                               WithoutLatest(std::move(destination)));
  if (!copy.ok()) {
    const bool no_source = copy.status().code() == StatusCode::kNotFound;
    return call.Fail(ApiErrorOf(copy.status(), no_source ? "source" : "destination"));
  }
  const Status status = ServeStored(copy->name, copy->path, {});
  if (!status.ok()) return call.Fail(ApiErrorOf(status, "destination"));
  call.response->Send(200, {}, "");
}

void StoreRoutes::AnswerDelete(const ApiCall& call) {
  std::string name;
  const auto error =
      ReadBody(call.request->body, [&](FieldReader& reader) { ReadName(reader, &name); });
  if (error) return call.Fail(*error);
  name = WithoutLatest(std::move(name));
  // An alias means the model behind it; a model that is not of the store only looks like one by its
  // name, and stays.
  std::string stored_name = name;
  for (const ListedModel& listed : access_.pool->List()) {
    if (listed.called.Is(name)) stored_name = listed.called.name;
  }
  for (const StoredModel& stored : ListStore(access_.folder)) {
    if (stored.name != stored_name) continue;
    bool is_served = false;
    for (const ListedModel& listed : access_.pool->List()) {
      if (listed.called.name == stored_name) is_served = listed.facts->path == stored.path;
    }
    const Status status = RemoveFromStore(access_.folder, stored_name);
    if (!status.ok()) return call.Fail(ApiErrorOf(status, "model"));
    if (is_served) access_.pool->Remove(stored_name).ok();
    return call.response->Send(200, {}, "");
  }
  call.Fail({.status = 404,
             .message = fmt::format("model: \"{}\" is not in the store", name.substr(0, 100)),
             .param = "model",
             .code = "model_not_found"});
}

}  // namespace pelton
