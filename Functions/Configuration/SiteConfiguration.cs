namespace Librarian.Functions.Configuration;

/// <summary>
/// Sources of settings, weakest first: <c>local.settings.json</c> (its <c>Values</c>, as the Functions tools write them), the JSON file
/// that <c>LIBRARIAN_CONFIG</c> names, environment variables (<c>Site__Name</c>), and for secrets a file that <c>&lt;setting&gt;_FILE</c>
/// names.
/// </summary>
public static class SiteConfiguration
{
    private const string FileSuffix = "_FILE";

    /// <summary>Adds all sources. A named file that is missing or cannot be read is an error that names the setting.</summary>
    public static IConfigurationBuilder AddSiteSources(this IConfigurationBuilder builder, string directory)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var values = new ConfigurationBuilder()
            .AddJsonFile(Path.Combine(directory, "local.settings.json"), optional: true)
            .Build()
            .GetSection("Values");
        builder.AddInMemoryCollection(
            values
                .AsEnumerable(makePathsRelative: true)
                .Where(pair => pair.Value is not null)
                .Select(pair => KeyValuePair.Create(pair.Key.Replace("__", ":", StringComparison.Ordinal), pair.Value))
        );
        if (Environment.GetEnvironmentVariable("LIBRARIAN_CONFIG") is { Length: > 0 } file)
        {
            if (!File.Exists(file))
                throw new InvalidOperationException(
                    $"LIBRARIAN_CONFIG names '{file}', which does not exist: correct the path or unset the variable."
                );
            builder.AddJsonFile(Path.GetFullPath(file), optional: false);
        }

        builder.AddEnvironmentVariables();
        var secrets = new Dictionary<string, string?>();
        foreach (var (key, path) in ((IConfiguration)new ConfigurationBuilder().AddConfiguration(builder.Build()).Build()).AsEnumerable())
        {
            if (!key.EndsWith(FileSuffix, StringComparison.Ordinal) || string.IsNullOrEmpty(path))
                continue;
            if (!key.StartsWith("Site:", StringComparison.OrdinalIgnoreCase))
                continue;
            if (!File.Exists(path))
                throw new InvalidOperationException(
                    $"Setting {key} names the file '{path}', which does not exist or cannot be read: create it or correct the path."
                );
            secrets[key[..^FileSuffix.Length]] = File.ReadAllText(path).TrimEnd('\r', '\n');
        }

        return builder.AddInMemoryCollection(secrets);
    }
}
