using System.Buffers;
using System.Reflection;
using System.Text.Json;

namespace Librarian.Functions.Hosting;

/// <summary>Writes the <c>{FunctionName}/function.json</c> files by which the Functions host knows the site's functions.</summary>
public static class FunctionJson
{
    /// <summary>Command line verb: <c>librarian-site functions-json --output DIR</c>.</summary>
    public const string Verb = "functions-json";

    private const string FileName = "function.json";

    /// <summary>
    /// Runs the verb when the command line asks for it. Needs no services and no settings besides the <c>appsettings.json</c> beside
    /// the executable, whose schedules are written as the defaults.
    /// </summary>
    /// <returns>Exit code, or null when the command line asks for something else.</returns>
    public static async Task<int?> TryRunVerbAsync(string[] args, Assembly assembly, CancellationToken cancellationToken = default)
    {
        if (args is not [Verb, ..]) return null;
        if (args is not [_, "--output", { Length: > 0 } directory])
        {
            await Console.Error.WriteLineAsync($"Usage: {Verb} --output DIRECTORY");
            return 2;
        }

        try
        {
            var defaults = new ConfigurationBuilder().AddJsonFile(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), optional: true).Build();
            await WriteAsync(FunctionCatalog.Discover(assembly), directory, defaults, cancellationToken);
            return 0;
        }
        catch (Exception exception) when (exception is FunctionDiscoveryException or IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync(exception.Message);
            return 1;
        }
    }

    /// <summary>
    /// Writes one directory per function and removes those of functions that are no more. Running it again repairs whatever an
    /// interrupted run left.
    /// </summary>
    /// <param name="catalog">The functions.</param>
    /// <param name="directory">Root of the published app, where host.json lies.</param>
    /// <param name="defaults">Where <c>%Setting%</c> schedules are looked up; one that is not found stays as it is, and then the
    /// environment of the Functions host must have it.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="IOException">A file of the app has the name of a function, or the directory cannot be written.</exception>
    public static async Task WriteAsync(FunctionCatalog catalog, string directory, IConfiguration? defaults = null, CancellationToken cancellationToken = default)
    {
        Directory.CreateDirectory(directory);
        FunctionDescriptor[] all = [.. catalog.HttpFunctions, .. catalog.TimerFunctions];
        foreach (var stale in Directory.GetDirectories(directory))
        {
            var known = all.Any(f => string.Equals(f.Name, Path.GetFileName(stale), StringComparison.Ordinal));
            if (!known && Directory.GetFileSystemEntries(stale) is [var only] && Path.GetFileName(only) == FileName) Directory.Delete(stale, recursive: true);
        }

        foreach (var function in all)
        {
            var target = Path.Combine(directory, function.Name);
            if (File.Exists(target))
                throw new IOException($"FunctionNameTaken: {function.Describe()} has the name of the file '{target}', which must not become a directory. Rename the function.");
            Directory.CreateDirectory(target);
            await File.WriteAllBytesAsync(Path.Combine(target, FileName), Serialize(function, defaults), cancellationToken);
        }
    }

    private static byte[] Serialize(FunctionDescriptor function, IConfiguration? defaults)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteStartArray("bindings");
            if (function is HttpFunction http) WriteHttp(json, http);
            else if (function is TimerFunction timer) WriteTimer(json, timer, defaults);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        buffer.Write("\n"u8);
        return buffer.WrittenSpan.ToArray();
    }

    private static void WriteHttp(Utf8JsonWriter json, HttpFunction function)
    {
        StartBinding(json, "httpTrigger", "in", "req");
        json.WriteString("authLevel", "anonymous");
        json.WriteStartArray("methods");
        foreach (var method in function.Methods) json.WriteStringValue(method.ToLowerInvariant());
        json.WriteEndArray();
        json.WriteString("route", function.Route);
        json.WriteEndObject();
        StartBinding(json, "http", "out", "res");
        json.WriteEndObject();
    }

    private static void WriteTimer(Utf8JsonWriter json, TimerFunction function, IConfiguration? defaults)
    {
        StartBinding(json, "timerTrigger", "in", "timer");
        json.WriteString("schedule", (defaults is null ? null : TimerSchedule.Resolve(function.Schedule, defaults)) ?? function.Schedule);

        // The site keeps the schedule's record and does the catching up; the host's monitor would need blob storage (functions-host.md §2.4).
        json.WriteBoolean("runOnStartup", false);
        json.WriteBoolean("useMonitor", false);
        json.WriteEndObject();
    }

    private static void StartBinding(Utf8JsonWriter json, string type, string direction, string name)
    {
        json.WriteStartObject();
        json.WriteString("type", type);
        json.WriteString("direction", direction);
        json.WriteString("name", name);
    }
}
