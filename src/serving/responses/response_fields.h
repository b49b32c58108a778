#pragma once

#include <string>

#include "serving/generate/generation_request.h"
#include "serving/request/field_reader.h"

namespace pelton {

// How an answer to /v1/responses is stated and kept.
struct ResponseForm {
  std::string model;  // as the client named it
  bool stream = false;
  bool store = true;
  bool store_asked = false;  // by name
  bool background = false;
  std::string previous_id;
  Json items;     // of the request alone, in the form of ReadInputItems
  Json settings;  // members of the response that repeat the request
};

// A request for a response, its fields read and nothing done about them yet.
struct ResponseFields {
  ResponseForm form;
  GenerationRequest generation;  // without prompts
  std::string instructions;
  Json tools;   // in the form of chats, those that may be called; or null
  Json kwargs;  // variables for the template, or null
  bool truncate = false;
};

// Reads the object of a request. Every field of the interface is honoured or refused by name; what
// chats know of sampling and of the output's form is honoured, too. `fields->generation.params` are
// overridden.
void ReadResponseFields(FieldReader& reader, ResponseFields* fields);

}  // namespace pelton
