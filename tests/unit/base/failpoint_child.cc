// Passes the crash point "here" five times and "there" once, saying so after each pass.

#include <cstdio>

#include "base/failpoint.h"

int main() {
  for (int pass = 1; pass <= 5; ++pass) {
    FAILPOINT("here");
    std::printf("here %d\n", pass);
    std::fflush(stdout);
  }
  FAILPOINT("there");
  std::puts("there 1");
  return 0;
}
