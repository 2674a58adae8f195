#include "vicinal/quant/symmetric_eigen.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "vicinal/quant/kernels/linear.hpp"

namespace vicinal {
namespace {

// Only sqrt and exact functions are used: those of the mathematics library round as it likes.
constexpr double epsilon = std::numeric_limits<double>::epsilon();

double largest_magnitude(const double* values, std::size_t count) {
  double largest = 0;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

// A power of two near 1 / value.
double inverse_power(double value) {
  int exponent = 0;
  std::frexp(value, &exponent);
  return std::ldexp(1.0, -exponent);
}

double length(double x, double y) {
  const double largest = std::max(std::abs(x), std::abs(y));
  if (largest == 0) return 0;
  const double scale = inverse_power(largest);
  const double a = x * scale;
  const double b = y * scale;
  return std::sqrt(a * a + b * b) / scale;
}

// Splits columns [0, columns) among the threads, when there is enough work to be worth it.
template <class Body>
void for_columns(std::size_t rows, std::size_t columns, const BuildControl& control, Body body) {
  constexpr std::size_t worth_splitting = std::size_t{1} << 17;  // elements
  const std::size_t threads = control.executor.concurrency();
  if (threads == 1 || rows * columns < worth_splitting) {
    body(std::size_t{0}, columns);
    return;
  }
  const std::size_t share = ((columns + threads - 1) / threads + 7) / 8 * 8;
  control.executor.for_each((columns + share - 1) / share, [&](std::size_t part, std::size_t) {
    body(part * share, std::min(columns, (part + 1) * share));
  });
}

// The matrix as Q T Q^T with T tridiagonal.
class Tridiagonal {
 public:
  Tridiagonal(Array<double>& matrix, std::size_t dim, const BuildControl& control)
      : diagonal(dim), beside(dim), matrix_(matrix), dim_(dim), control_(control), weights_(dim, 0.0) {
    reduce();
  }

  // Q, row-major. The reflections are independent for each column, so they are applied strip by strip, which stay in the cache.
  void accumulate(Array<double>& q) const {
    const LinearKernels& kernels = linear_kernels();
    control_.executor.for_each(
        (dim_ + strip_columns - 1) / strip_columns, [&](std::size_t task, std::size_t) {
          if (control_.stop.stop_requested()) return;
          const std::size_t first = task * strip_columns;
          const std::size_t columns = std::min(strip_columns, dim_ - first);
          Array<double> strip(dim_ * strip_columns);
          for (std::size_t j = 0; j < columns; ++j) strip[(first + j) * strip_columns + j] = 1;
          // What comes before acts on elements that are still zero in these columns.
          for (std::size_t l = first + 1; l < dim_; ++l) {
            if (weights_[l] == 0) continue;
            const double* u = matrix_.data() + l * dim_;
            double product[strip_columns] = {};
            kernels.combine_rows(strip.data(), strip_columns, l, 0, strip_columns, u, product);
            for (double& value : product) value /= weights_[l];
            kernels.subtract_outer(strip.data(), strip_columns, l, 0, strip_columns, u, product);
          }
          for (std::size_t r = 0; r < dim_; ++r)
            std::copy_n(strip.data() + r * strip_columns, columns, q.data() + r * dim_ + first);
        });
    control_.throw_if_stopped();
  }

  std::vector<double> diagonal;
  std::vector<double> beside;  // [i] is element (i, i + 1) of T, the last is 0

 private:
  // From the last row up: a reflection makes all of a row but two elements zero. The update of the rows above is put off until the
  // next reflection is known, so that one pass over them does it and multiplies them by the next vector.
  void reduce() {
    std::vector<double> v(dim_);
    std::vector<double> w(dim_);
    std::vector<double> product(dim_);
    bool pending = false;
    for (std::size_t l = dim_; l-- > 0;) {
      control_.throw_if_stopped();
      double* row = matrix_.data() + l * dim_;
      if (pending) {
        for (std::size_t j = 0; j <= l; ++j) row[j] -= v[l] * w[j] + w[l] * v[j];
      }
      diagonal[l] = row[l];
      if (l == 0) break;
      const bool reflects = l > 1 && largest_magnitude(row, l - 1) != 0;
      if (!reflects) {
        beside[l - 1] = row[l - 1];
        if (pending) update_and_multiply(l, v.data(), w.data(), nullptr, product.data());
        pending = false;
        continue;
      }
      const double weight = make_reflection(row, l);
      update_and_multiply(l, pending ? v.data() : nullptr, w.data(), row, product.data());
      double overlap = 0;
      for (std::size_t j = 0; j < l; ++j) {
        product[j] /= weight;
        overlap += row[j] * product[j];
      }
      const double half = overlap / (weight + weight);
      for (std::size_t j = 0; j < l; ++j) {
        v[j] = row[j];
        w[j] = product[j] - half * row[j];
      }
      pending = true;
    }
  }

  // Turns the first `size` elements of a row into the vector u of the reflection 1 - u u^T / weight.
  double make_reflection(double* row, std::size_t size) {
    const double scale = inverse_power(largest_magnitude(row, size));
    double squares = 0;
    for (std::size_t j = 0; j < size; ++j) {
      row[j] *= scale;
      squares += row[j] * row[j];
    }
    const double last = row[size - 1];
    const double turned = last >= 0 ? -std::sqrt(squares) : std::sqrt(squares);
    beside[size - 1] = turned / scale;
    weights_[size] = squares - last * turned;
    row[size - 1] = last - turned;
    return weights_[size];
  }

  void update_and_multiply(std::size_t size, const double* v, const double* w, const double* u,
                           double* product) {
    const std::vector<double> zero(u == nullptr ? size : 0, 0.0);
    for_columns(size, size, control_, [&](std::size_t begin, std::size_t end) {
      std::fill(product + begin, product + end, 0.0);
      linear_kernels().update_and_multiply(matrix_.data(), dim_, size, begin, end, v, w,
                                           u == nullptr ? zero.data() : u, product);
    });
  }

  Array<double>& matrix_;
  std::size_t dim_;
  const BuildControl& control_;
  std::vector<double> weights_;  // 0 where there is no reflection
};

// The vectors while they are rotated: strips of 32 columns, each with all rows, contiguous.
class Strips {
 public:
  // The transpose of `q`, in the memory of `memory`, which has room for whole strips.
  Strips(const Array<double>& q, std::size_t dim, Array<double> memory)
      : dim_(dim), count_(strips_of(dim)), values_(std::move(memory)) {
    for (std::size_t i = 0; i < count_ * strip_columns; ++i) {
      double* column = strip(i / strip_columns) + i % strip_columns;
      for (std::size_t r = 0; r < dim; ++r) column[r * strip_columns] = i < dim ? q[i * dim + r] : 0.0;
    }
  }
  static std::size_t strips_of(std::size_t dim) { return (dim + strip_columns - 1) / strip_columns; }

  void rotate(std::span<const RotationSweep> sweeps, const PlaneRotation* rotations,
              const BuildControl& control) {
    control.executor.for_each(
        count_, [&](std::size_t s, std::size_t) { linear_kernels().rotate(strip(s), sweeps, rotations); });
  }
  void read_row(std::size_t row, double* out) const {
    for (std::size_t j = 0; j < dim_; ++j)
      out[j] = values_[(j / strip_columns * dim_ + row) * strip_columns + j % strip_columns];
  }

 private:
  double* strip(std::size_t number) { return values_.data() + number * dim_ * strip_columns; }
  std::size_t dim_;
  std::size_t count_;
  Array<double> values_;
};

// Makes a tridiagonal matrix diagonal, and collects the rotations that do it for the strips.
class ImplicitQl {
 public:
  ImplicitQl(Tridiagonal& t, Strips& strips, const BuildControl& control)
      : d_(t.diagonal), e_(t.beside), strips_(strips), control_(control) {}

  void run() {
    constexpr int most_sweeps = 100;  // two or three are usual
    for (std::size_t first = 0; first < d_.size(); ++first) {
      for (int sweeps = 0;; ++sweeps) {
        const std::size_t last = block_end(first);
        if (last == first) break;
        if (sweeps == most_sweeps) {
          e_[first] = 0;
          break;
        }
        sweep(first, last);
        if (rotations_.size() >= most_rotations) flush();
      }
    }
    flush();
  }

 private:
  static constexpr std::size_t most_rotations = std::size_t{1} << 18;

  // The first index from `first` on whose link to the next is nothing beside its neighbours.
  [[nodiscard]] std::size_t block_end(std::size_t first) const {
    std::size_t end = first;
    while (end + 1 < d_.size() &&
           std::abs(e_[end]) > 0.5 * epsilon * (std::abs(d_[end]) + std::abs(d_[end + 1]))) {
      ++end;
    }
    return end;
  }

  // One implicit step with Wilkinson's shift on rows first to last: the bulge is chased from the bottom up.
  void sweep(std::size_t first, std::size_t last) {
    const double ratio = (d_[first + 1] - d_[first]) / (2 * e_[first]);
    const double root = length(ratio, 1.0);
    const double shift = d_[first] - e_[first] / (ratio + (ratio >= 0 ? root : -root));
    double g = d_[last] - shift;
    double cosine = 1;
    double sine = 1;
    double moved = 0;
    std::size_t at = last;
    while (at-- > first) {
      const double bulge = sine * e_[at];
      const double link = cosine * e_[at];
      const double r = length(bulge, g);
      e_[at + 1] = r;
      if (r == 0) {
        // The matrix falls apart here: what was done stands, the rest is another block.
        d_[at + 1] -= moved;
        e_[last] = 0;
        break;
      }
      sine = bulge / r;
      cosine = g / r;
      const double lower = d_[at + 1] - moved;
      const double change = (d_[at] - lower) * sine + 2 * cosine * link;
      moved = sine * change;
      d_[at + 1] = lower + moved;
      g = cosine * change - link;
      rotations_.push_back({cosine, sine});
      if (at == first) {
        d_[first] -= moved;
        e_[first] = g;
        e_[last] = 0;
        sweeps_.push_back({last, first});
        return;
      }
    }
    if (at + 1 < last) sweeps_.push_back({last, at + 1});
  }

  void flush() {
    control_.throw_if_stopped();
    strips_.rotate(sweeps_, rotations_.data(), control_);
    sweeps_.clear();
    rotations_.clear();
  }

  std::vector<double>& d_;
  std::vector<double>& e_;
  Strips& strips_;
  const BuildControl& control_;
  std::vector<RotationSweep> sweeps_;
  std::vector<PlaneRotation> rotations_;
};

// Of v and -v, the one whose largest component (the first of equal ones) is positive.
void fix_sign(double* vector, std::size_t dim) {
  std::size_t largest = 0;
  for (std::size_t j = 1; j < dim; ++j) {
    if (std::abs(vector[j]) > std::abs(vector[largest])) largest = j;
  }
  if (vector[largest] >= 0) return;
  for (std::size_t j = 0; j < dim; ++j) vector[j] = -vector[j];
}

}  // namespace

SymmetricEigen symmetric_eigen(Array<double> matrix, std::size_t dim, const BuildControl& control) {
  // A power of two brings the largest element near 1, so that no square leaves the range.
  const double largest = largest_magnitude(matrix.data(), dim * dim);
  const double scale = largest == 0 ? 1.0 : inverse_power(largest);
  for (std::size_t i = 0; i < dim * dim; ++i) matrix[i] *= scale;
  Tridiagonal t(matrix, dim, control);
  Array<double> q(dim * dim);
  t.accumulate(q);
  matrix = {};
  Strips strips(q, dim, Array<double>(Strips::strips_of(dim) * strip_columns * dim));
  ImplicitQl(t, strips, control).run();

  std::vector<std::size_t> order(dim);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return t.diagonal[a] != t.diagonal[b] ? t.diagonal[a] > t.diagonal[b] : a < b;
  });
  SymmetricEigen result{{}, std::move(q)};
  for (std::size_t i = 0; i < dim; ++i) {
    result.values.push_back(t.diagonal[order[i]] / scale);
    strips.read_row(order[i], result.vectors.data() + i * dim);
    fix_sign(result.vectors.data() + i * dim, dim);
  }
  return result;
}

Array<double> multiply(const Array<double>& left, std::size_t rows, std::size_t inner,
                       const Array<double>& right, std::size_t columns, const BuildControl& control) {
  constexpr std::size_t chunk = 64;  // columns of `right` that stay in the cache
  Array<double> product(checked_product(rows, columns, "product"));
  control.executor.for_each((columns + chunk - 1) / chunk, [&](std::size_t task, std::size_t) {
    const std::size_t begin = task * chunk;
    const std::size_t end = std::min(columns, begin + chunk);
    for (std::size_t i = 0; i < rows; ++i) {
      linear_kernels().combine_rows(right.data(), columns, inner, begin, end, left.data() + i * inner,
                                    product.data() + i * columns);
    }
  });
  control.throw_if_stopped();
  return product;
}

Array<double> transposed(const Array<double>& matrix, std::size_t rows, std::size_t columns) {
  Array<double> result(rows * columns);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) result[j * rows + i] = matrix[i * columns + j];
  }
  return result;
}

}  // namespace vicinal
