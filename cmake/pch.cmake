# One precompiled header for everything of ours: what it contains is parsed once, not in each of some
# 200 units.

# Whatever its contents ask for must be defined for all alike.
target_compile_definitions(feedvault_flags INTERFACE FMT_SHARED GTEST_HAS_PTHREAD=1)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/pch.cc CONTENT "")
add_library(feedvault_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cc)
target_link_libraries(feedvault_pch PRIVATE feedvault_flags)
target_precompile_headers(feedvault_pch PRIVATE
  <algorithm> <array> <atomic> <charconv> <chrono> <deque> <fstream> <functional> <map> <memory> <optional>
  <random> <set> <span> <string> <string_view> <thread> <unordered_map> <utility> <variant> <vector>
  <fmt/format.h> <gtest/gtest.h> <nlohmann/json.hpp>)

function(use_precompiled_header dir)
  get_property(targets DIRECTORY ${dir} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    get_target_property(libraries ${target} LINK_LIBRARIES)
    if(type MATCHES "^(STATIC_LIBRARY|EXECUTABLE)$" AND feedvault_flags IN_LIST libraries)
      target_precompile_headers(${target} REUSE_FROM feedvault_pch)
    endif()
  endforeach()
  get_property(folders DIRECTORY ${dir} PROPERTY SUBDIRECTORIES)
  foreach(folder IN LISTS folders)
    use_precompiled_header(${folder})
  endforeach()
endfunction()
use_precompiled_header(${CMAKE_SOURCE_DIR})
