# cmake -DOUT=x.cc "-DFILES=a.json|b.html" -P embed_assets.cmake
# Writes the files as C++ string literals, so that the program needs none of them at run time.
string(REPLACE "|" ";" files "${FILES}")
set(rows "")
foreach(path IN LISTS files)
  get_filename_component(name "${path}" NAME)
  file(READ "${path}" text)
  string(SHA256 hash "${text}")
  string(SUBSTRING "${hash}" 0 16 etag)
  string(APPEND rows "    {\"${name}\", R\"asset(${text})asset\", \"\\\"${etag}\\\"\"},\n")
endforeach()
file(WRITE "${OUT}" "// Made of the gateway's assets by gateway/embed_assets.cmake.
#include \"gateway/assets.h\"

namespace feedvault::gateway {
namespace {
constexpr Asset kAssets[] = {
${rows}};
}  // namespace

std::span<const Asset> assets() { return kAssets; }
}  // namespace feedvault::gateway
")
