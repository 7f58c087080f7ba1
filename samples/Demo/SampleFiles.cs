namespace Librarian.Samples.Demo;

/// <summary>Sample files to send: single files and directories ("books") of mixed sizes, the same in every run.</summary>
internal static class SampleFiles
{
    private const int Seed = 20260101;
    private const int SmallestBytes = 1 << 10;
    private const int LargestBytes = 8 << 20;

    // Every fourth upload is a directory, which is about the share of books among an observatory's products.
    private const int BookEvery = 4;

    /// <summary>Writes the files.</summary>
    /// <param name="folder">Created if missing.</param>
    /// <param name="count">Number of uploads, files and books together.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    internal static async Task WriteAsync(string folder, int count, CancellationToken cancellationToken)
    {
#pragma warning disable CA5394 // Reproducible filler data, not a secret.
        var random = new Random(Seed);
        for (var index = 0; index < count; index++)
        {
            if (index % BookEvery == BookEvery - 1)
            {
                var directory = Path.Join(folder, $"book_{index:d4}");
                var members = random.Next(3, 9);
                await WriteFileAsync(Path.Join(directory, "M_index.yaml"), random, 600, cancellationToken);
                for (var member = 0; member < members; member++)
                    await WriteFileAsync(
                        Path.Join(directory, $"det_{member / 4}", $"part_{member:d3}.g3"),
                        random,
                        Size(random) / 4,
                        cancellationToken
                    );
            }
            else
            {
                await WriteFileAsync(Path.Join(folder, $"scan_{index:d4}.h5"), random, Size(random), cancellationToken);
            }
        }
#pragma warning restore CA5394
    }

    // Uniform in the exponent, so that small and large files are equally common.
    private static int Size(Random random) => (int)(SmallestBytes * Math.Pow((double)LargestBytes / SmallestBytes, random.NextDouble()));

    private static async Task WriteFileAsync(string path, Random random, int size, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var content = new byte[size];
        random.NextBytes(content);
        await File.WriteAllBytesAsync(path, content, cancellationToken);
    }
}
