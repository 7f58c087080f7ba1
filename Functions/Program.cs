using Librarian.Domain.Catalog;
using Librarian.Functions.Api;
using Librarian.Functions.Configuration;
using Librarian.Functions.Documentation;
using Librarian.Functions.Startup;

if (await FunctionJson.TryRunVerbAsync(args, typeof(Program).Assembly) is { } exitCode) return exitCode;
if (await ApiDocument.TryRunVerbAsync(args, typeof(Program).Assembly) is { } written) return written;

var builder = FunctionsApplication.CreateBuilder(args);
builder.AddFunctions(typeof(Program).Assembly);
builder.Configuration.AddSiteSources(Environment.CurrentDirectory);
builder.AddSite();
builder.AddSiteTelemetry();
var app = builder.Build();
if (args is ["migrate", ..])
{
    await app.Services.GetRequiredService<CatalogDatabase>().MigrateAsync(CancellationToken.None);
    return 0;
}

app.UseWireErrors();
app.UseRouting();
app.UseAuthentication();
app.UseAuthorization();
app.MapFunctions();
app.MapApiReference();
return await app.RunFunctionsAsync();
