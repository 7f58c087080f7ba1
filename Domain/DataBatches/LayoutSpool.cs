using System.Buffers;
using System.Security.Cryptography;
using System.Text.Json;
using Librarian.Domain.Posix;

namespace Librarian.Domain.DataBatches;

/// <summary>Writes a layout that arrives to a file, and computes the id of its batch.</summary>
internal static class LayoutSpool
{
    /// <summary>Bytes of the largest layout, unpacked.</summary>
    internal const long LargestLayout = 256L << 20;

    internal static readonly EntryName Name = new("layout");
    private const int IdBytes = 16;
    private const int BufferSize = 64 << 10;

    /// <summary>Reads the beginning of a layout, with its first line.</summary>
    /// <returns>What was read; the id of the first transfer.</returns>
    /// <exception cref="LayoutException">The layout begins with no transfer.</exception>
    internal static async Task<(ReadOnlyMemory<byte> Start, long Transfer)> ReadStartAsync(Stream body, CancellationToken cancellationToken)
    {
        var buffer = new byte[LayoutLines.LongestLine];
        var filled = 0;
        while (filled < buffer.Length)
        {
            var read = await body.ReadAsync(buffer.AsMemory(filled), cancellationToken);
            var end = buffer.AsSpan(0, filled + read).IndexOf((byte)'\n');
            filled += read;
            if (end >= 0)
                return LayoutEntry.Of(LayoutLines.Parse(buffer.AsSpan(0, end))) is { Transfer: > 0 and var transfer }
                    ? (buffer.AsMemory(0, filled), transfer)
                    : throw new LayoutException("The layout begins with no transfer.");
            if (read == 0)
                throw new LayoutException("The layout has no line.");
        }

        throw new LayoutException($"A line of the layout is longer than {LayoutLines.LongestLine} bytes.");
    }

    /// <summary>Writes the account and the lines, and flushes them.</summary>
    /// <returns>The hash that is part of the id; null if the layout is too large.</returns>
    /// <exception cref="PosixException">The disk refused.</exception>
    internal static async Task<string?> WriteAsync(
        PosixDirectory directory,
        string account,
        ReadOnlyMemory<byte> start,
        Stream rest,
        CancellationToken cancellationToken
    )
    {
        using var file = directory.CreateFile(Name, 0x180);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var first = JsonSerializer.SerializeToUtf8Bytes(new LayoutLine(Account: account), LayoutJson.Default.LayoutLine);
        file.Write(first);
        file.Write("\n"u8);
        hash.AppendData(first);
        file.Write(start.Span);
        hash.AppendData(start.Span);
        var buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            long total = start.Length;
            int read;
            while ((read = await rest.ReadAsync(buffer, cancellationToken)) > 0)
            {
                if ((total += read) > LargestLayout)
                    return null;
                file.Write(buffer.AsSpan(0, read));
                hash.AppendData(buffer, 0, read);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        file.Sync();
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, IdBytes));
    }
}
