#pragma once

#include <curl/curl.h>

namespace pelton {

// libcurl, loaded when something is first fetched or sent: the libraries that it needs in turn take
// several milliseconds to start, which every start of the program would pay.
struct CurlLibrary {
  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_perform) easy_perform;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&::curl_easy_header) easy_header;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;
};

// Null if the system has no usable libcurl.so.4. Any thread; the library stays loaded.
const CurlLibrary* LoadCurl();

}  // namespace pelton
