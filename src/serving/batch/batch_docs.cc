#include "serving/batch/batch_docs.h"

namespace pelton {
namespace {

constexpr FieldDocs kUpload[] = {
    {"file", R"({"type":"string","format":"binary"})", "a request a line, as JSON", true},
    {"purpose", R"({"const":"batch"})", "", true},
    {"expires_after[anchor]", R"({"enum":["created_at"]})"},
    {"expires_after[seconds]", R"({"type":"integer","minimum":3600,"maximum":2592000})"},
};

constexpr FieldDocs kFilePage[] = {
    {"limit", R"({"type":"integer","minimum":1,"maximum":10000})"},
    {"order", R"({"enum":["asc","desc"]})"},
    {"after", R"({"type":"string"})", "the id before the first"},
    {"purpose", R"({"enum":["batch","batch_output"]})"},
};

constexpr FieldDocs kBatch[] = {
    {"input_file_id", R"({"type":"string","minLength":1})", "of a file that was sent", true},
    {"endpoint",
     R"({"enum":["/v1/chat/completions","/v1/completions","/v1/embeddings","/v1/responses"]})",
     "that every line asks", true},
    {"completion_window", R"({"const":"24h"})", "", true},
    {"metadata", R"({"type":"object","additionalProperties":{"type":"string","maxLength":512},
      "maxProperties":16,"propertyNames":{"maxLength":64}})",
     "comes back with the batch"},
    {"output_expires_after",
     R"({"type":"object","required":["anchor","seconds"],"additionalProperties":false,"properties":
      {"anchor":{"const":"created_at"},
       "seconds":{"type":"integer","minimum":3600,"maximum":2592000}}})",
     "when the files that it writes go"},
};

constexpr FieldDocs kBatchPage[] = {
    {"limit", R"({"type":"integer","minimum":1,"maximum":100})"},
    {"order", R"({"enum":["asc","desc"]})"},
    {"after", R"({"type":"string"})", "the id before the first"},
};

constexpr std::string_view kFileAnswer = R"({"type":"object","required":["id","object","bytes",
  "created_at","filename","purpose"],"properties":{"object":{"const":"file"}}})";
constexpr std::string_view kBatchAnswer = R"({"type":"object","required":["id","object","endpoint",
  "input_file_id","completion_window","status","created_at"],"properties":{"object":
  {"const":"batch"},"status":{"enum":["validating","in_progress","finalizing","cancelling",
  "completed","failed","expired","cancelled"]}}})";
constexpr std::string_view kList = R"({"type":"object","required":["object","data","has_more"],
  "properties":{"object":{"const":"list"},"data":{"type":"array","items":{"type":"object",
  "required":["id","object"]}}}})";

}  // namespace

std::vector<RouteDocs> FileDocs() {
  return {{.method = "POST",
           .path = "/files",
           .summary = "Keeps a file for batches",
           .body = {kUpload},
           .body_media = "multipart/form-data",
           .answer = kFileAnswer},
          {.method = "GET",
           .path = "/files",
           .summary = "The files that are kept for the key",
           .answer = kList,
           .query = kFilePage},
          {.method = "GET",
           .path = "/files/*",
           .summary = "A file's facts, or with /content behind its name what is in it"},
          {.method = "DELETE",
           .path = "/files/*",
           .summary = "Deletes a file",
           .answer = R"({"type":"object","required":["id","object","deleted"]})"}};
}

std::vector<RouteDocs> BatchDocs() {
  return {{.method = "POST",
           .path = "/batches",
           .summary = "Runs the requests of a file when nobody else needs the engine",
           .body = {kBatch},
           .answer = kBatchAnswer},
          {.method = "POST",
           .path = "/batches/*",
           .summary = "With /cancel behind its name: ends a batch",
           .answer = kBatchAnswer},
          {.method = "GET",
           .path = "/batches",
           .summary = "The batches of the key",
           .answer = kList,
           .query = kBatchPage},
          {.method = "GET",
           .path = "/batches/*",
           .summary = "A batch and how far it is",
           .answer = kBatchAnswer}};
}

}  // namespace pelton
