using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Cli.Output;
using Librarian.Client;

namespace Librarian.Cli.Connections;

/// <summary>
/// Named connections in the format of Python's client (docs/spec/upstream.md#client-configuration): the first existing file of
/// <c>$HL_CLIENT_CONFIG</c>, <c>~/.hl_client.cfg</c> and <c>~/.hl_client.json</c>, or else the variable
/// <c>LIBRARIAN_CLIENT_CONNECTIONS</c>.
/// </summary>
public static class ConnectionFile
{
    /// <summary>Environment variable with the path of the file.</summary>
    public const string PathVariable = "HL_CLIENT_CONFIG";

    /// <summary>Environment variable with the connections themselves as JSON.</summary>
    public const string InlineVariable = "LIBRARIAN_CLIENT_CONNECTIONS";

    private const UnixFileMode OthersMayRead = UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>Reads all connections.</summary>
    /// <param name="terminal">Source of the environment; gets a warning if others may read the file with the passwords.</param>
    /// <returns>Connections by name, in the order of the file.</returns>
    /// <exception cref="ConnectionsException">
    /// No connections are configured, or they are malformed; the message says where, and what to do.
    /// </exception>
    public static OrderedDictionary<string, SiteConnection> Load(Terminal terminal)
    {
        ArgumentNullException.ThrowIfNull(terminal);
        var home = terminal.Environment("HOME") ?? Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        string?[] candidates = [terminal.Environment(PathVariable), Path.Join(home, ".hl_client.cfg"), Path.Join(home, ".hl_client.json")];
        if (candidates.FirstOrDefault(static path => !string.IsNullOrEmpty(path) && File.Exists(path)) is { } file)
        {
            if ((File.GetUnixFileMode(file) & OthersMayRead) != UnixFileMode.None)
                terminal.Error.WriteLine($"warning: {file} holds passwords and others may read it; run chmod 400 {file}");
            return Convert(
                file,
                Parse(file, () =>
                    JsonSerializer.Deserialize(File.ReadAllBytes(file), ConnectionJson.Default.ConnectionDocument)?.Connections
                )
            );
        }

        if (terminal.Environment(InlineVariable) is { Length: > 0 } inline)
            return Convert(
                "$" + InlineVariable,
                Parse("$" + InlineVariable, () =>
                    JsonSerializer.Deserialize(inline, ConnectionJson.Default.OrderedDictionaryStringConnectionEntry)
                )
            );
        throw new ConnectionsException(
            "No connections are configured. Write {\"connections\": {\"NAME\": {\"user\": …, \"password\": …, "
                + "\"host\": \"http://…\", \"port\": …}}} "
                + $"to ~/.hl_client.cfg, or set ${PathVariable} or ${InlineVariable}."
        );
    }

    /// <summary>Reads one connection.</summary>
    /// <param name="terminal">As in <see cref="Load"/>.</param>
    /// <param name="name">Name of the connection.</param>
    /// <returns>The connection with that name.</returns>
    /// <exception cref="ConnectionsException">As in <see cref="Load"/>, or the name is unknown.</exception>
    public static SiteConnection Find(Terminal terminal, string name)
    {
        var all = Load(terminal);
        return all.TryGetValue(name, out var connection)
            ? connection
            : throw new ConnectionsException($"There is no connection named {name}; configured are: {string.Join(", ", all.Keys)}.");
    }

    private static OrderedDictionary<string, ConnectionEntry> Parse(string origin, Func<OrderedDictionary<string, ConnectionEntry>?> read)
    {
        try
        {
            return read() ?? throw new JsonException("it is null");
        }
        catch (JsonException error)
        {
            throw new ConnectionsException($"{origin} is not a valid list of connections: {error.Message}");
        }
    }

    private static OrderedDictionary<string, SiteConnection> Convert(string origin, OrderedDictionary<string, ConnectionEntry> entries)
    {
        var connections = new OrderedDictionary<string, SiteConnection>(StringComparer.Ordinal);
        foreach (var (name, entry) in entries)
        {
            if (!SiteConnection.TryCreate(entry.Host, entry.Port, entry.User, entry.Password, out var connection, out var error))
                throw new ConnectionsException($"Connection {name} in {origin} is wrong: {error}");
            connections.Add(name, connection);
        }

        return connections;
    }
}

/// <summary>Connections are missing or malformed.</summary>
/// <param name="message">Place, problem and remedy.</param>
public sealed class ConnectionsException(string message) : Exception(message);

internal sealed record ConnectionDocument(OrderedDictionary<string, ConnectionEntry> Connections);

/// <summary>One connection of the file.</summary>
/// <param name="User">Account.</param>
/// <param name="Port">TCP port.</param>
/// <param name="Host">Host with scheme, without port.</param>
/// <param name="Password">Password.</param>
internal sealed record ConnectionEntry(string User, int Port, string Host, string Password);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    NumberHandling = JsonNumberHandling.AllowReadingFromString,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    WriteIndented = true
)]
[JsonSerializable(typeof(ConnectionDocument))]
internal sealed partial class ConnectionJson : JsonSerializerContext;
