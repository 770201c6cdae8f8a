# cmake -DOUT=x.cc -DFILES="sql/0001_a.sql|sql/0002_b.sql" -P embed_migrations.cmake
# Writes the migrations as C++ string literals, so that programs need no file at run time.
string(REPLACE "|" ";" files "${FILES}")
set(rows "")
foreach(path IN LISTS files)
  get_filename_component(name "${path}" NAME_WE)
  string(REGEX MATCH "^0*([1-9][0-9]*)_" ignored "${name}")
  set(version "${CMAKE_MATCH_1}")
  if(NOT version)
    message(FATAL_ERROR "${path}: a migration is named NNNN_what.sql")
  endif()
  file(READ "${path}" text)
  string(APPEND rows "    {${version}, \"${name}\", R\"sql(${text})sql\"},\n")
endforeach()
file(WRITE "${OUT}" "// Made of sql/*.sql by storage/embed_migrations.cmake.
#include \"storage/migrations.h\"

namespace feedvault::storage {
namespace {
constexpr Migration kMigrations[] = {
${rows}};
}  // namespace

std::span<const Migration> migrations() { return kMigrations; }
}  // namespace feedvault::storage
")
