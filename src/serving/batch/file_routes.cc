#include "serving/batch/file_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "net/http/multipart.h"
#include "serving/api/query_fields.h"
#include "serving/batch/batch_docs.h"
#include "serving/request/list_answer.h"
#include "serving/tenant/admission.h"

namespace pelton {
namespace {

constexpr size_t kMostNameBytes = 255;

ApiError StoreError(const Status& status) {
  ApiError error = ApiErrorOf(status);
  if (status.code() == StatusCode::kResourceExhausted) {
    error.status = 507;
    error.code = "storage_full";
  } else if (status.code() == StatusCode::kNotFound) {
    error.code = "file_not_found";
  }
  return error;
}

// What is sent.
struct Upload {
  std::string purpose, filename, anchor, seconds;
  std::optional<std::string_view> content;
};

std::optional<ApiError> ReadParts(const std::vector<FormPart>& parts, Upload* upload) {
  std::vector<std::string> seen;
  for (const FormPart& part : parts) {
    const std::string name = part.name.substr(0, 40);
    if (std::ranges::find(seen, part.name) != seen.end()) {
      return ApiError{.message = fmt::format("{}: found it twice", name), .param = name};
    }
    seen.push_back(part.name);
    if (part.name == "file") {
      upload->content = part.body;
      upload->filename = part.filename.substr(0, kMostNameBytes);
    } else if (part.name == "purpose") {
      upload->purpose = part.body.substr(0, kMostNameBytes);
    } else if (part.name == "expires_after[anchor]") {
      upload->anchor = part.body.substr(0, kMostNameBytes);
    } else if (part.name == "expires_after[seconds]") {
      upload->seconds = part.body.substr(0, kMostNameBytes);
    } else {
      return ApiError{.message = fmt::format("unknown field \"{}\" of the form", name),
                      .param = name};
    }
  }
  return std::nullopt;
}

std::optional<ApiError> ReadUpload(const HttpRequest& request, Upload* upload,
                                   std::optional<int64_t>* keep_seconds) {
  const Result<std::string> boundary = FormBoundary(request.Header("content-type"));
  if (!boundary.ok()) return ApiErrorOf(boundary.status());
  const Result<std::vector<FormPart>> parts = ParseForm(request.body, *boundary);
  if (!parts.ok()) return ApiErrorOf(parts.status());
  if (auto error = ReadParts(*parts, upload)) return error;
  if (!upload->content) return ApiError{.message = "file: expected a file", .param = "file"};
  if (upload->purpose != "batch") {
    return ApiError{.message = fmt::format("purpose: found \"{}\", expected \"batch\"",
                                           upload->purpose.substr(0, 40)),
                    .param = "purpose"};
  }
  if (upload->anchor.empty() && upload->seconds.empty()) return std::nullopt;
  int64_t seconds = 0;
  const char* const end = upload->seconds.data() + upload->seconds.size();
  const auto parsed = std::from_chars(upload->seconds.data(), end, seconds);
  if (upload->anchor != "created_at" || parsed.ec != std::errc() || parsed.ptr != end ||
      seconds < kLeastKeptSeconds || seconds > kMostKeptSeconds) {
    return ApiError{.message = fmt::format("expires_after: expected the anchor created_at and {} "
                                           "to {} seconds",
                                           kLeastKeptSeconds, kMostKeptSeconds),
                    .param = "expires_after"};
  }
  *keep_seconds = seconds;
  return std::nullopt;
}

void SendFile(BatchService& batches, const ApiCall& call) {
  Upload upload;
  std::optional<int64_t> seconds;
  if (const auto error = ReadUpload(*call.request, &upload, &seconds)) return call.Fail(*error);
  StoredFile file{
      .id = "", .tenant = TenantOf(call), .filename = upload.filename, .purpose = upload.purpose};
  if (seconds) file.expires_at = UnixSeconds() + *seconds;
  const Result<StoredFile> added = batches.files().Add(std::move(file), *upload.content);
  if (!added.ok()) return call.Fail(StoreError(added.status()));
  SendJson(*call.response, ToText(FileJson(*added)));
}

void ListFiles(BatchService& batches, const ApiCall& call) {
  QueryFields query(call.request->query);
  PageQuery page{.limit = 10'000};
  page.Read(query, 10'000);
  std::string purpose;
  query.Choice("purpose", {"batch", "batch_output"}, &purpose);
  if (const auto error = query.Error()) return call.Fail(*error);
  std::vector<Json> files;
  for (const StoredFile& file : batches.files().List(TenantOf(call))) {
    if (purpose.empty() || file.purpose == purpose) files.push_back(FileJson(file));
  }
  AnswerList(call, page, std::move(files));
}

void GetFile(BatchService& batches, const ApiCall& call) {
  constexpr std::string_view kContent = "/content";
  if (!call.tail.ends_with(kContent)) {
    const auto file = batches.files().Find(TenantOf(call), call.tail);
    if (!file) return call.Fail(StoreError(NotFound("no such file is stored")));
    return SendJson(*call.response, ToText(FileJson(*file)));
  }
  const std::string id = call.tail.substr(0, call.tail.size() - kContent.size());
  Result<std::string> content = batches.files().Content(TenantOf(call), id);
  if (!content.ok()) return call.Fail(StoreError(content.status()));
  call.response->Send(200, {{"Content-Type", "application/octet-stream"}},
                      std::move(content).value());
}

void DeleteFile(BatchService& batches, const ApiCall& call) {
  const Status status = batches.files().Remove(TenantOf(call), call.tail);
  if (!status.ok()) return call.Fail(StoreError(status));
  SendJson(*call.response, ToText({{"id", call.tail}, {"object", "file"}, {"deleted", true}}));
}

}  // namespace

std::string TenantOf(const ApiCall& call) { return call.admission->tenant().identity(); }

Route BatchRoute(BatchService* batches, const char* method, const char* path, BatchAnswer answer) {
  return {.method = method,
          .path = path,
          .versioned = true,
          .intake = true,
          .answer = [batches, answer](const ApiCall& call) {
            if (batches != nullptr) return answer(*batches, call);
            call.Fail({.status = 404,
                       .message = "this server keeps no files and runs no batches; start it with "
                                  "--batch-folder DIR",
                       .param = "",
                       .code = "not_enabled"});
          }};
}

RouteSet FileRoutes(BatchService* batches) {
  RouteSet set;
  const auto add = [&](const char* method, const char* path, BatchAnswer answer) {
    set.routes.push_back(BatchRoute(batches, method, path, answer));
  };
  add("POST", "/files", &SendFile);
  // Where nothing is kept, nothing large need be read.
  if (batches != nullptr) set.routes.back().max_body = kMaxUploadBytes;
  add("GET", "/files", &ListFiles);
  add("GET", "/files/*", &GetFile);
  add("DELETE", "/files/*", &DeleteFile);
  set.docs = FileDocs();
  return set;
}

}  // namespace pelton
