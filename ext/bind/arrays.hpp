// Numbers between core and NumPy.
#pragma once

#include "casters.hpp"

#include <nanobind/ndarray.h>

#include <utility>
#include <vector>

namespace mullama::bind {

using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// A NumPy array that owns the values. Needs the GIL.
template <class T> nb::object array_of(std::vector<T> values) {
    auto * owned = new std::vector<T>(std::move(values));
    const nb::capsule owner(owned, [](void * pointer) noexcept { delete static_cast<std::vector<T> *>(pointer); });
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(owned->data(), {owned->size()}, owner));
}

} // namespace mullama::bind
