#include "vicinal/quant/covariance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/kernels/linear.hpp"

namespace vicinal {
namespace {

constexpr std::size_t range_block = 4096;  // rows; block sums are added in order
constexpr std::size_t group_rows = 16;     // rows whose squares are summed together, and packed by one task
constexpr std::size_t panel_rows =
    512;  // packed at one time: 24 blocks of columns are in the second-level cache
constexpr float largest_integer = 8191.0F;
static_assert(group_rows * 8191 * 8191 < (std::uint64_t{1} << 31));

[[noreturn]] void refuse_value(const TrainingRows& rows, std::size_t row) {
  for (std::size_t j = 0; j < rows.rows.cols(); ++j) {
    const float value = rows.rows[row][j];
    if (std::abs(value) <= largest_trained_value) continue;
    throw InvalidArgument(std::string(rows.name) + " row " + std::to_string(row) + " column " +
                          std::to_string(j) + " is " + std::to_string(value) +
                          ", a projection holds magnitudes up to 2^54");
  }
  throw InvalidArgument(std::string(rows.name) + " hold values that a projection cannot");
}

// Rows of a panel as 16-bit integers, in blocks of 32 columns, pairs of rows side by side (LinearKernels::add_products).
class Panel {
 public:
  Panel(const TrainingRows& rows, const ColumnRange& range, std::span<const float> centre)
      : rows_(rows),
        centre_(centre),
        dim_(rows.rows.cols()),
        blocks_((dim_ + tile_columns - 1) / tile_columns),
        packed_(blocks_ * block_stride),
        inverse_(dim_),
        exponents_(dim_),
        squares_(panel_rows / group_rows * dim_) {
    for (std::size_t j = 0; j < dim_; ++j) {
      const float about = centre.empty() ? 0.0F : centre[j];
      const float largest = std::max(range.most[j] - about, about - range.least[j]);
      int exponent = 0;
      const float fraction = std::frexp(largest / largest_integer, &exponent);
      if (fraction == 0.5F) --exponent;
      // 2^exponent times 8191 is at least the largest; what is all zero may be scaled by anything.
      exponents_[j] = std::clamp(exponent, -100, 100);
      inverse_[j] = std::ldexp(1.0F, -exponents_[j]);
    }
  }

  [[nodiscard]] std::size_t blocks() const { return blocks_; }
  [[nodiscard]] double unit(std::size_t column) const { return std::ldexp(1.0, exponents_[column]); }
  [[nodiscard]] const std::int16_t* block(std::size_t number, std::size_t row) const {
    return packed_.data() + number * block_stride + row * tile_columns;
  }

  // Packs rows [first, first + count) and finds the runs of rows over which sums of products stay within 32 bits.
  void pack(std::size_t first, std::size_t count, const BuildControl& control) {
    const std::size_t groups = (count + group_rows - 1) / group_rows;
    control.executor.for_each(groups, [&](std::size_t group, std::size_t) {
      const std::size_t begin = group * group_rows;
      pack_group(first, begin, std::min(count, begin + group_rows));
    });
    ends_.clear();
    std::vector<std::uint32_t> running(dim_, 0U);
    for (std::size_t group = 0; group < groups; ++group) {
      const std::uint32_t* own = squares_.data() + group * dim_;
      std::uint32_t most = 0;
      for (std::size_t j = 0; j < dim_; ++j) most = std::max(most, running[j] + own[j]);
      if (most > static_cast<std::uint32_t>(std::numeric_limits<std::int32_t>::max())) {
        ends_.push_back(group * group_rows);
        std::fill(running.begin(), running.end(), 0U);
      }
      for (std::size_t j = 0; j < dim_; ++j) running[j] += own[j];
    }
    ends_.push_back(groups * group_rows);
  }
  [[nodiscard]] std::span<const std::size_t> ends() const { return ends_; }

 private:
  static constexpr std::size_t block_stride = panel_rows * tile_columns;

  void pack_group(std::size_t first, std::size_t begin, std::size_t end) {
    std::vector<float> residual(dim_);
    std::vector<std::int16_t> pair(2 * dim_);
    std::uint32_t* squares = squares_.data() + begin / group_rows * dim_;
    std::fill_n(squares, dim_, 0U);
    for (std::size_t row = begin; row < begin + group_rows; row += 2) {
      for (std::size_t half = 0; half < 2; ++half)
        round_row(first, row + half, end, residual, pair.data() + half * dim_, squares);
      for (std::size_t block = 0; block < blocks_; ++block) {
        std::int16_t* out = packed_.data() + block * block_stride + row * tile_columns;
        const std::int16_t* from = pair.data() + block * tile_columns;
        const std::size_t columns = std::min(tile_columns, dim_ - block * tile_columns);
        for (std::size_t j = 0; j < columns; ++j) {
          out[2 * j] = from[j];
          out[2 * j + 1] = from[dim_ + j];
        }
      }
    }
  }

  void round_row(std::size_t first, std::size_t row, std::size_t end, std::vector<float>& residual,
                 std::int16_t* out, std::uint32_t* squares) const {
    if (row >= end) {
      std::fill_n(out, dim_, std::int16_t{0});
      return;
    }
    const float* values = rows_.rows.row_data(first + row);
    if (rows_.normalised) {
      normalise(rows_.rows[first + row], residual);
      values = residual.data();
    }
    const float* inverse = inverse_.data();
    float* scaled = residual.data();
    if (centre_.empty()) {
      for (std::size_t j = 0; j < dim_; ++j) scaled[j] = values[j] * inverse[j];
    } else {
      const float* centre = centre_.data();
      for (std::size_t j = 0; j < dim_; ++j) scaled[j] = (values[j] - centre[j]) * inverse[j];
    }
    for (std::size_t j = 0; j < dim_; ++j) {
      const auto integer = static_cast<std::int32_t>(round_to_integer(scaled[j]));
      out[j] = static_cast<std::int16_t>(integer);
      squares[j] += static_cast<std::uint32_t>(integer * integer);
    }
  }

  const TrainingRows& rows_;
  std::span<const float> centre_;
  std::size_t dim_;
  std::size_t blocks_;
  Array<std::int16_t> packed_;  // columns beyond the last stay zero
  std::vector<float> inverse_;
  std::vector<int> exponents_;
  std::vector<std::uint32_t> squares_;  // of a group of rows, by column
  std::vector<std::size_t> ends_;       // of the runs
};

}  // namespace

ColumnRange column_range(const TrainingRows& rows, const BuildControl& control) {
  const std::size_t dim = rows.rows.cols();
  const std::size_t count = rows.rows.rows();
  const std::size_t blocks = (count + range_block - 1) / range_block;
  std::vector<double> sums(blocks * dim, 0.0);
  std::vector<float> least(blocks * dim, std::numeric_limits<float>::max());
  std::vector<float> most(blocks * dim, std::numeric_limits<float>::lowest());
  control.executor.for_each(blocks, [&](std::size_t block, std::size_t) {
    double* sum = sums.data() + block * dim;
    float* low = least.data() + block * dim;
    float* high = most.data() + block * dim;
    std::vector<float> unit(dim);
    const std::size_t end = std::min(count, (block + 1) * range_block);
    for (std::size_t row = block * range_block; row < end; ++row) {
      const float* values = rows.rows.row_data(row);
      if (rows.normalised) {
        normalise(rows.rows[row], unit);
        values = unit.data();
      } else if (!(largest_magnitude(rows.rows[row]) <= largest_trained_value)) {
        refuse_value(rows, row);
      }
      for (std::size_t j = 0; j < dim; ++j) {
        sum[j] += static_cast<double>(values[j]);
        low[j] = std::min(low[j], values[j]);
        high[j] = std::max(high[j], values[j]);
      }
    }
  });
  control.throw_if_stopped();
  ColumnRange range{Array<float>(dim), Array<float>(dim), Array<float>(dim)};
  for (std::size_t j = 0; j < dim && blocks != 0; ++j) {
    double sum = 0;
    range.least[j] = least[j];
    range.most[j] = most[j];
    for (std::size_t block = 0; block < blocks; ++block) {
      sum += sums[block * dim + j];
      range.least[j] = std::min(range.least[j], least[block * dim + j]);
      range.most[j] = std::max(range.most[j], most[block * dim + j]);
    }
    range.mean[j] = static_cast<float>(sum / static_cast<double>(count));
  }
  return range;
}

Array<double> second_moments(const TrainingRows& rows, const ColumnRange& range,
                             std::span<const float> centre, const BuildControl& control) {
  const std::size_t dim = rows.rows.cols();
  const std::size_t count = rows.rows.rows();
  constexpr std::size_t tile_sums = tile_columns * tile_columns;
  Panel panel(rows, range, centre);
  struct Tile {
    std::size_t row;
    std::size_t column;
  };
  std::vector<Tile> tiles;
  for (std::size_t i = 0; i < panel.blocks(); ++i) {
    for (std::size_t j = i; j < panel.blocks(); ++j) tiles.push_back({i, j});
  }
  Array<std::int64_t> sums(tiles.size() * tile_sums);
  const auto add_products = linear_kernels().add_products;
  for (std::size_t first = 0; first < count; first += panel_rows) {
    control.throw_if_stopped();
    control.report("projection", first, count);
    panel.pack(first, std::min(panel_rows, count - first), control);
    control.executor.for_each(tiles.size(), [&](std::size_t tile, std::size_t) {
      std::size_t begin = 0;
      for (const std::size_t end : panel.ends()) {
        add_products(panel.block(tiles[tile].row, begin), panel.block(tiles[tile].column, begin),
                     (end - begin) / 2, sums.data() + tile * tile_sums);
        begin = end;
      }
    });
  }

  Array<double> moments(checked_product(dim, dim, "moments"));
  if (count == 0) return moments;
  for (std::size_t tile = 0; tile < tiles.size(); ++tile) {
    const std::size_t row = tiles[tile].row * tile_columns;
    const std::size_t column = tiles[tile].column * tile_columns;
    for (std::size_t i = row; i < std::min(dim, row + tile_columns); ++i) {
      for (std::size_t j = std::max(i, column); j < std::min(dim, column + tile_columns); ++j) {
        const std::int64_t sum = sums[tile * tile_sums + (i - row) * tile_columns + (j - column)];
        const double moment =
            static_cast<double>(sum) * (panel.unit(i) * panel.unit(j)) / static_cast<double>(count);
        moments[i * dim + j] = moment;
        moments[j * dim + i] = moment;
      }
    }
  }
  return moments;
}

}  // namespace vicinal
