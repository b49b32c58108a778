#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "serving/api/query_fields.h"
#include "serving/batch/batch_docs.h"
#include "serving/batch/file_routes.h"
#include "serving/request/body_fields.h"
#include "serving/request/list_answer.h"
#include "serving/request/metadata_field.h"
#include "serving/tenant/admission.h"

namespace pelton {
namespace {

constexpr const char* kEndpoints[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                                      "/v1/responses"};

void ReadOutputExpiry(FieldReader& reader, Batch* batch) {
  const Json* expiry = reader.Find("output_expires_after");
  if (expiry == nullptr) return;
  if (!expiry->is_object()) return reader.Fail("output_expires_after", "an object");
  FieldReader inner(*expiry);
  std::string anchor;
  int64_t seconds = 0;
  inner.String("anchor", &anchor);
  if (anchor != "created_at") inner.Fail("anchor", "\"created_at\"");
  inner.Whole("seconds", &seconds);
  if (seconds < kLeastKeptSeconds || seconds > kMostKeptSeconds) {
    inner.Fail("seconds", fmt::format("{} to {}", kLeastKeptSeconds, kMostKeptSeconds));
  }
  inner.RefuseUnknown();
  reader.Adopt("output_expires_after", inner);
  batch->output_seconds = seconds;
}

std::optional<ApiError> ReadBatch(std::string_view body, Batch* batch) {
  return ReadBody(body, [&](FieldReader& reader) {
    std::string window;
    reader.String("input_file_id", &batch->input_file);
    if (batch->input_file.empty()) reader.Fail("input_file_id", "the id of a file");
    reader.String("endpoint", &batch->endpoint);
    if (std::ranges::find(kEndpoints, batch->endpoint) == std::end(kEndpoints)) {
      reader.Fail("endpoint", fmt::format("{}", fmt::join(kEndpoints, " or ")));
    }
    reader.String("completion_window", &window);
    if (window != "24h") reader.Fail("completion_window", "\"24h\"");
    ReadMetadata(reader, &batch->metadata);
    ReadOutputExpiry(reader, batch);
  });
}

void CreateBatch(BatchService& batches, const ApiCall& call) {
  Batch batch{.id = "", .tenant = TenantOf(call)};
  if (const auto error = ReadBatch(call.request->body, &batch)) return call.Fail(*error);
  if (const auto error = batches.Create(&batch)) return call.Fail(*error);
  SendJson(*call.response, ToText(BatchJson(batch)));
}

void ListBatches(BatchService& batches, const ApiCall& call) {
  QueryFields query(call.request->query);
  PageQuery page;
  page.Read(query, 100);
  if (const auto error = query.Error()) return call.Fail(*error);
  const std::vector<Batch> known = batches.List(TenantOf(call));
  std::vector<Json> list;
  list.reserve(known.size());
  for (const Batch& batch : known) list.push_back(BatchJson(batch));
  AnswerList(call, page, std::move(list));
}

void GetBatch(BatchService& batches, const ApiCall& call) {
  const auto batch = batches.Find(TenantOf(call), call.tail);
  if (!batch) return call.Fail(NoSuchBatch(call.tail));
  SendJson(*call.response, ToText(BatchJson(*batch)));
}

void CancelBatch(BatchService& batches, const ApiCall& call) {
  constexpr std::string_view kCancel = "/cancel";
  if (!call.tail.ends_with(kCancel)) {
    return call.Fail(
        {.status = 404, .message = fmt::format("{} does not exist", call.request->path)});
  }
  Batch batch;
  const std::string id = call.tail.substr(0, call.tail.size() - kCancel.size());
  if (const auto error = batches.Cancel(TenantOf(call), id, &batch)) return call.Fail(*error);
  SendJson(*call.response, ToText(BatchJson(batch)));
}

}  // namespace

RouteSet BatchRoutes(BatchService* batches) {
  RouteSet set;
  const auto add = [&](const char* method, const char* path, BatchAnswer answer) {
    set.routes.push_back(BatchRoute(batches, method, path, answer));
  };
  add("POST", "/batches", &CreateBatch);
  add("POST", "/batches/*", &CancelBatch);
  add("GET", "/batches", &ListBatches);
  add("GET", "/batches/*", &GetBatch);
  set.docs = BatchDocs();
  return set;
}

}  // namespace pelton
