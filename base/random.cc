#include "base/random.h"

#include <unistd.h>

#include <algorithm>

#include "base/check.h"

namespace feedvault {

void fill_random(void* bytes, std::size_t size) {
  constexpr std::size_t kOneCall = 256;  // what getentropy() gives at once
  char* at = static_cast<char*>(bytes);
  while (size > 0) {
    const std::size_t part = std::min(size, kOneCall);
    CHECK(::getentropy(at, part) == 0);
    at += part;
    size -= part;
  }
}

}  // namespace feedvault
