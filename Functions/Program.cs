using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Functions.Api;
using Librarian.Functions.Configuration;
using Librarian.Functions.Documentation;
using Librarian.Functions.Startup;
using Microsoft.Extensions.Options;

if (await FunctionJson.TryRunVerbAsync(args, typeof(Program).Assembly) is { } exitCode) return exitCode;
if (await ApiDocument.TryRunVerbAsync(args, typeof(Program).Assembly) is { } written) return written;
if (args is [AdoptCommand.Verb, ..])
    return await AdoptCommand.RunAsync(args, () => new ConfigurationBuilder().AddSiteSources(Environment.CurrentDirectory).Build(), Console.Out, Console.Error, TimeProvider.System);

var builder = FunctionsApplication.CreateBuilder(args);
builder.AddFunctions(typeof(Program).Assembly);
builder.Configuration.AddSiteSources(Environment.CurrentDirectory);
builder.AddSite();
builder.AddSiteTelemetry();
var app = builder.Build();
if (args is ["migrate", ..])
{
    var catalog = app.Services.GetRequiredService<CatalogDatabase>();
    var options = app.Services.GetRequiredService<IOptions<SiteOptions>>().Value;
    Directory.CreateDirectory(options.DataDirectory);
    using var hold = SiteLock.Take(catalog.Kind, options);
    await catalog.MigrateAsync(CancellationToken.None);
    return 0;
}

app.UseWireErrors();
app.UseRouting();
app.UseAuthentication();
app.UseAuthorization();
app.MapFunctions();
app.MapApiReference();
return await app.RunFunctionsAsync();
